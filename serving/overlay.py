"""Reads images with Pillow in the frame of the export's boxes, and draws boxes onto them."""
from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from PIL import Image

from ornet_tf.data import orientation
from ornet_tf.data.pillow_errors import UNREADABLE
from ornet_tf.inference import localize_files
from ornet_tf.paths import readable


def draw(path: str | os.PathLike, boxes: Sequence[Sequence[float]], text: str, output: str | os.PathLike) -> None:
    """Writes an image, upright, with its boxes and a text as a PNG; see `ornet_tf.inference.localize_files.draw_boxes`.

    Args:
      path: the image file.
      boxes: float [D, 4], [ymin, xmin, ymax, xmax] in fractions of the upright image; D may be 0.
      text: is written at the first box.
      output: the PNG to write.

    Raises:
      OSError: if the image cannot be read or the PNG cannot be written.
    """
    image = read(path)
    localize_files.draw_boxes(image, boxes, text)
    image.save(output, "PNG")


def read(path: str | os.PathLike) -> Image.Image:
    """Returns an image, mode RGB, turned upright as the export turns it.

    Raises:
      OSError: if Pillow cannot read the file.
    """
    try:
        return _upright(path)
    except OSError:
        raise
    except UNREADABLE as error:
        raise OSError(f"Pillow cannot read {readable(path)}: {type(error).__name__}: {error}") from error


def _upright(path: str | os.PathLike) -> Image.Image:
    with open(path, "rb") as file:
        turn = orientation.read_orientation(file)
    with Image.open(path) as image:
        if image.mode.startswith("I"):  # Pillow clips 16-bit grey values instead of scaling them
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        image.load()
        image.info = {}  # damaged metadata would be copied and keep the PNG from being written
        image = image if image.mode == "RGB" else image.convert("RGB")
        return orientation.turn_upright(image, turn)
