"""Reads boxes from XML files in the layout of PASCAL VOC, as in ImageNet.

    <annotation> <object> <name>n01440764</name> <bndbox> <xmin>0</xmin> <ymin>9</ymin> <xmax>499</xmax> ...

ImageNet counts pixels from 0, and xmax and ymax are the last pixel of the box: a box over a whole image of 500 x 375 is
0, 0, 499, 374 (as in validation image 83; PASCAL VOC itself counts from 1). The half-open box ends at xmax + 1 and
ymax + 1. `_stored_frame` converts the boxes of images that EXIF turns.
"""
from __future__ import annotations

import pathlib
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from ornet_tf.errors import UserError

_SIDES = ("ymin", "xmin", "ymax", "xmax")


class Annotation(NamedTuple):
    """The content of an XML file.

    Attributes:
      names: the class of each of M objects.
      boxes: float32 [M, 4] (ymin, xmin, ymax, xmax), half-open, in pixels from 0.
      size: height and width of the image that was annotated; None if the file has no size.
    """

    names: list[str]
    boxes: np.ndarray
    size: tuple[int, int] | None


def read(path: pathlib.Path) -> Annotation | None:
    """Returns the annotation of an image; None if there is no such file.

    Raises:
      UserError: if the file is not XML, or a box lacks one of its four numbers.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except FileNotFoundError:
        return None
    except ElementTree.ParseError as error:
        raise UserError(f"{path}: expected an XML file in the layout of PASCAL VOC: {error}.") from None
    names, boxes = [], []
    for item in root.iter("object"):
        cells = [item.findtext(f"bndbox/{side}", "") for side in _SIDES]
        try:
            boxes.append([float(cell) for cell in cells])
        except ValueError:
            raise UserError(f"{path}: expected numbers as {', '.join(_SIDES)}, got {cells}.") from None
        names.append(item.findtext("name", "").strip())
    height, width = (root.findtext(f"size/{side}", "").strip() for side in ("height", "width"))
    size = (int(height), int(width)) if height.isdecimal() and width.isdecimal() else None
    return Annotation(names, to_half_open(boxes), size)


def to_half_open(boxes: list[list[float]]) -> np.ndarray:
    """Converts boxes (ymin, xmin, ymax, xmax) whose ends are the last pixel to half-open ones: float32 [M, 4]."""
    return (np.reshape(np.asarray(boxes, np.float64), [-1, 4]) + (0, 0, 1, 1)).astype(np.float32)
