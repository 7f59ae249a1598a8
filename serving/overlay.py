"""Draws the boxes of an answer onto the picture that was asked about."""
from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from ornet_tf.data import orientation
from ornet_tf.data.pillow_errors import UNREADABLE
from ornet_tf.maps import visualize
from ornet_tf.paths import readable


def draw(path: str | os.PathLike, boxes: Sequence[Sequence[float]], text: str, output: str | os.PathLike) -> None:
    """Writes a picture, upright, with its boxes and the first one's text as a PNG.

    Args:
      path: the picture.
      boxes: float [D, 4], ymin, xmin, ymax, xmax as fractions of the upright picture; D may be 0.
      text: written at the first box's upper left corner, inside; left out where it would take more than half the width.
      output: the PNG to write.

    Raises:
      OSError: if the picture cannot be read or the PNG not written.
    """
    try:
        picture = _upright(path)
    except OSError:
        raise
    except UNREADABLE as error:
        raise OSError(f"Pillow cannot read {readable(path)}: {type(error).__name__}: {error}") from error
    width, height = picture.size
    line = max(2, round(min(height, width) / 100))
    boxes = np.reshape(boxes, [-1, 4])
    visualize.outline(picture, boxes, width=line)
    pen = ImageDraw.Draw(picture)
    if text and len(boxes) and pen.textlength(text) <= width / 2:  # a tiny picture's text would hide what it speaks of
        corner = (round(boxes[0, 1] * width) + 2 * line, round(boxes[0, 0] * height) + 2 * line)
        pen.rectangle(pen.textbbox(corner, text), fill=(255, 255, 255))
        pen.text(corner, text, fill=visualize.PREDICTED)
    picture.save(output, "PNG")


def _upright(path: str | os.PathLike) -> Image.Image:
    """Returns a picture, mode RGB, in the frame of the boxes: turned as the export turns it."""
    with open(path, "rb") as file:
        turn = orientation.read_orientation(file)
    with Image.open(path) as picture:
        if picture.mode.startswith("I"):  # 16 bits of grey, which Pillow clips instead of scaling.
            picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
        picture.load()
        picture.info = {}  # damaged metadata would not only be copied, but keep the PNG from being written
        picture = picture if picture.mode == "RGB" else picture.convert("RGB")
        return orientation.turn_upright(picture, turn)
