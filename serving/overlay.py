"""Draws the box of an answer onto the picture that was asked about."""
from __future__ import annotations

import os
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageOps


def draw(path: str | os.PathLike, box: Sequence[float], text: str, output: str | os.PathLike) -> None:
    """Writes a picture, upright, with a box and its text as a PNG.

    Args:
      path: the picture.
      box: ymin, xmin, ymax, xmax as fractions of the upright picture (its EXIF orientation applied).
      text: written inside the box's upper left corner.
      output: the PNG to write.

    Raises:
      OSError: if the picture cannot be read or the PNG not written.
      PIL.Image.DecompressionBombError: if the picture is unreasonably large.
    """
    with Image.open(path) as file:
        picture = ImageOps.exif_transpose(file).convert("RGB")
    ymin, xmin, ymax, xmax = box
    # The box is half-open: its last row and column lie just before the lower and the right edge.
    left, top = round(xmin * picture.width), round(ymin * picture.height)
    right, bottom = max(left, round(xmax * picture.width) - 1), max(top, round(ymax * picture.height) - 1)
    width = max(2, round(min(picture.size) / 100))
    canvas = ImageDraw.Draw(picture)
    canvas.rectangle((left, top, right, bottom), outline=(255, 0, 0), width=width)
    corner = (left + 2 * width, top + 2 * width)
    canvas.rectangle(canvas.textbbox(corner, text), fill=(255, 255, 255))
    canvas.text(corner, text, fill=(200, 0, 0))
    picture.save(output, "PNG")
