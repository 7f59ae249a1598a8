"""boxes.jsonl: a line of JSON for each image, for programs of your own.

    {"file": "a/1.jpg", "width": 400, "height": 400, "boxes": [{"box": [0.21, 0.125, 0.84, 0.75],
     "box_pixels": [84.0, 50.0, 336.0, 300.0], "class": 3, "class_name": "Cardinal", "box_score": 0.82}]}

`file` is the path in predictions.json. `box` is [ymin, xmin, ymax, xmax] in fractions of the image, without rounding,
and `class` counts from 0. An image without a box has an empty list. `box_score` is missing if the model gave none. Only
ASCII is written, so every reader finds the same lines.
"""
from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from ornet_tf.formats import Box, LocalizedImage, _output


def write(images: Iterable[LocalizedImage], class_names: Sequence[str], folder: str) -> None:
    """Writes the format; see `ornet_tf.formats`. The lines name the classes, so there is no list of them."""
    del class_names
    with _output.writing(folder) as output, output.open("boxes.jsonl") as file:
        for image in images:
            line = {"file": image.file, "width": image.width, "height": image.height}
            line["boxes"] = [_entry(image, box) for box in image.boxes]
            file.write(json.dumps(line) + "\n")


def _entry(image: LocalizedImage, box: Box) -> dict[str, Any]:
    xmin, ymin, xmax, ymax = (round(value, 2) for value in image.pixels(box))
    entry = {
        "box": list(box.corners),
        "box_pixels": [ymin, xmin, ymax, xmax],
        "class": box.class_index,
        "class_name": box.class_name,
    }
    return entry if box.score is None else {**entry, "box_score": box.score}
