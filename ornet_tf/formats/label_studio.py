"""Label Studio's tasks with predictions, which people accept or correct; nothing counts as annotated.

    tasks.json           one task for each image, with one prediction that holds all its boxes
    label_config.xml     the labelling interface of the project; the predictions refer to its names

Boxes are in percent of the image. The score of a prediction, by which Label Studio sorts tasks, is the lowest score of
its boxes. It is 0 for an image without a box, whose prediction is empty.
"""
from __future__ import annotations

import urllib.parse
from collections.abc import Iterable, Sequence
from typing import Any
from xml.sax import saxutils

from ornet_tf.formats import Box, LocalizedImage, _output

LOCAL_FILES = "/data/local-files/?d="
_FROM, _TO = "label", "image"  # the names in the labelling interface
_DECIMALS = 4  # of percent


def write(
    images: Iterable[LocalizedImage],
    class_names: Sequence[str],
    folder: str,
    *,
    image_prefix: str = LOCAL_FILES,
    model_version: str = "ornet_tf",
) -> None:
    """Writes the format; see `ornet_tf.formats`.

    Args:
      images: the images.
      class_names: the classes.
      folder: where to write.
      image_prefix: what comes before the name of an image in its address; the name is escaped as in URLs.
      model_version: the name under which Label Studio lists the predictions.
    """
    with _output.writing(folder) as output:
        with output.open("label_config.xml") as file:
            file.write(_label_config(class_names))
        with output.open("tasks.json") as file:
            file.write("[")
            tasks = _output.JsonList(file)
            for image in images:
                address = image_prefix + urllib.parse.quote(image.name)
                tasks.append({"data": {_TO: address}, "predictions": [_prediction(image, model_version)]})
            file.write("\n]\n")


def _label_config(class_names: Sequence[str]) -> str:
    labels = "".join(f"    <Label value={saxutils.quoteattr(name)}/>\n" for name in class_names)
    return (
        f'<View>\n  <Image name="{_TO}" value="${_TO}"/>\n'
        f'  <RectangleLabels name="{_FROM}" toName="{_TO}">\n{labels}  </RectangleLabels>\n</View>\n'
    )


def _prediction(image: LocalizedImage, model_version: str) -> dict[str, Any]:
    scores = [box.score for box in image.boxes if box.score is not None]
    prediction = {"model_version": model_version, "result": [_region(image, box) for box in image.boxes]}
    if image.boxes and not scores:
        return prediction
    return {**prediction, "score": min(scores, default=0.0)}


def _region(image: LocalizedImage, box: Box) -> dict[str, Any]:
    ymin, xmin, ymax, xmax = (100 * corner for corner in box.corners)
    place = {"x": xmin, "y": ymin, "width": xmax - xmin, "height": ymax - ymin}
    region = {
        "id": str(box.number),
        "type": "rectanglelabels",
        "from_name": _FROM,
        "to_name": _TO,
        "original_width": image.width,
        "original_height": image.height,
        "image_rotation": 0,
        "value": {
            **{side: round(value, _DECIMALS) for side, value in place.items()},
            "rotation": 0,
            "rectanglelabels": [box.class_name],
        },
    }
    return region if box.score is None else {**region, "score": box.score}
