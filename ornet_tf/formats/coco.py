"""COCO's detection format, with a `score` for each box: for CVAT, FiftyOne, supervision and pycocotools.

    annotations/instances_default.json    info, categories, images, annotations

`file_name` is the path of an image below the folder that holds all images. Boxes are [x, y, width, height] in pixels.
The id of a category is its position in the run's list of classes, from 1. The ids of images and annotations are their
positions in the predictions, so they don't depend on what is left out. An image without a box has no annotation.
"""
from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from typing import Any

from ornet_tf.formats import Box, LocalizedImage, _output

_INFO = {"description": "Boxes that ornet_tf has predicted. The score of an annotation says how sure its box is."}
_DECIMALS = 2  # of pixels


def write(images: Iterable[LocalizedImage], class_names: Sequence[str], folder: str) -> None:
    """Writes the format; see `ornet_tf.formats`."""
    categories = [{"id": index, "name": name, "supercategory": ""} for index, name in enumerate(class_names, 1)]
    with (
        _output.writing(folder) as output,
        output.open("annotations/instances_default.json") as file,
        tempfile.TemporaryFile("w+", dir=output.aside, encoding="utf-8") as aside,
    ):
        file.write(f'{{"info": {json.dumps(_INFO)},\n"categories": {json.dumps(categories, ensure_ascii=False)},\n')
        file.write('"images": [')
        listed, annotations = _output.JsonList(file), _output.JsonList(aside)
        for image in images:
            size = {"width": image.width, "height": image.height}
            listed.append({"id": image.number, "file_name": image.name, **size})
            for box in image.boxes:
                annotations.append(_annotation(image, box))
        file.write('\n],\n"annotations": [')
        aside.seek(0)
        shutil.copyfileobj(aside, file)
        file.write("\n]}\n")


def _annotation(image: LocalizedImage, box: Box) -> dict[str, Any]:
    xmin, ymin, xmax, ymax = image.pixels(box)
    width, height = xmax - xmin, ymax - ymin
    annotation = {
        "id": box.number,
        "image_id": image.number,
        "category_id": box.class_index + 1,
        "bbox": [round(value, _DECIMALS) for value in (xmin, ymin, width, height)],
        "area": round(width * height, _DECIMALS),
        "segmentation": [],
        "iscrowd": 0,
    }
    return annotation if box.score is None else {**annotation, "score": box.score}
