"""A table: boxes.csv, with one line for each box, in pixels.

    file,width,height,xmin,ymin,xmax,ymax,class_name,box_score

An image without a box has one line whose last six cells are empty. `file` is the path in predictions.json.
"""
from __future__ import annotations

import csv  # the standard library's: a package's module does not hide it
from collections.abc import Iterable, Sequence

from ornet_tf.formats import LocalizedImage, _output

_COLUMNS = ("file", "width", "height", "xmin", "ymin", "xmax", "ymax", "class_name", "box_score")
_DECIMALS = 2  # of pixels


def write(images: Iterable[LocalizedImage], class_names: Sequence[str], folder: str) -> None:
    """Writes the format; see `ornet_tf.formats`. The lines name the classes, so there is no list of them."""
    del class_names
    with _output.writing(folder) as output, output.open("boxes.csv") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(_COLUMNS)
        for image in images:
            size = (image.width, image.height)
            for box in image.boxes:
                corners = [round(value, _DECIMALS) for value in image.pixels(box)]
                table.writerow([image.file, *size, *corners, box.class_name, box.score])
            if not image.boxes:
                table.writerow([image.file, *size, *[None] * 6])
