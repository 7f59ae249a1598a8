"""Draws the boxes of an answer onto the picture that was asked about."""
from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from ornet_tf import visualize


def draw(path: str | os.PathLike, boxes: Sequence[Sequence[float]], text: str, output: str | os.PathLike) -> None:
    """Writes a picture, upright, with its boxes and the first one's text as a PNG.

    Args:
      path: the picture.
      boxes: float [D, 4], ymin, xmin, ymax, xmax as fractions of the upright picture; D may be 0.
      text: written at the first box's upper left corner, inside; left out where it would take more than half the width.
      output: the PNG to write.

    Raises:
      OSError: if the picture cannot be read or the PNG not written.
      PIL.Image.DecompressionBombError: if the picture is unreasonably large.
    """
    pixels = _upright(path)
    height, width = pixels.shape[:2]
    line = max(2, round(min(height, width) / 100))
    boxes = np.reshape(boxes, [-1, 4])
    picture = Image.fromarray(visualize.draw_boxes(pixels, boxes, width=line))
    pen = ImageDraw.Draw(picture)
    if text and len(boxes) and pen.textlength(text) <= width / 2:  # a tiny picture's text would hide what it speaks of
        corner = (round(boxes[0, 1] * width) + 2 * line, round(boxes[0, 0] * height) + 2 * line)
        pen.rectangle(pen.textbbox(corner, text), fill=(255, 255, 255))
        pen.text(corner, text, fill=visualize.PREDICTED)
    picture.save(output, "PNG")


def _upright(path: str | os.PathLike) -> np.ndarray:
    """Returns a picture as uint8 [H, W, 3] in the frame of the boxes: only JPEG files are turned, as in the export."""
    with Image.open(path) as file:
        picture = file if file.format == "PNG" else ImageOps.exif_transpose(file)
        if picture.mode.startswith("I"):  # 16 bits of grey, which Pillow clips instead of scaling.
            picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
        return np.asarray(picture.convert("RGB"))
