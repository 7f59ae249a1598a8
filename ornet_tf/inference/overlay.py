"""Overlays: reads an image with Pillow at a limited size, draws detections onto it and encodes it as a JPEG.

NumPy and Pillow only: the client draws where TensorFlow is not installed.
"""
from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from ornet_tf.data import orientation
from ornet_tf.data.pillow_errors import UNREADABLE
from ornet_tf.inference.detections import Decoded, Detections
from ornet_tf.maps import visualize

# Of the longer side of an overlay, in pixels. At the full size of a photograph, drawing and encoding an overlay takes
# longer than finding its box.
MAX_SIDE = 1024
_QUALITY = 90
_TEXT = (11, 107, 29)  # of the colour of boxes, but dark enough to be read on white


def read(encoded: bytes) -> Decoded:
    """Decodes an image as the export does: RGB, turned upright, but scaled down to at most `MAX_SIDE`.

    The decoder itself scales a large JPEG, which takes a fraction of the time and memory.

    Raises:
      OSError: if Pillow cannot read the image.
    """
    try:
        return _read(encoded)
    except Image.UnidentifiedImageError:  # its message names a Python object
        raise OSError("Pillow cannot read it: it is no image that Pillow knows.") from None
    except UNREADABLE as error:
        reason = str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        raise OSError(f"Pillow cannot read it: {reason}") from error


def _read(encoded: bytes) -> Decoded:
    turn = orientation.read_orientation(io.BytesIO(encoded))
    with Image.open(io.BytesIO(encoded)) as image:
        size = image.size[::-1] if turn > 4 else image.size
        factor = _factor(image.size)
        image.draft(None, tuple(max(1, side // factor) for side in image.size))  # affects JPEG files only
        image.load()
        image.info = {}  # damaged metadata would be copied and keep the overlay from being written
        if image.mode.startswith("I"):  # Pillow clips 16-bit grey values instead of scaling them
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        image = image if image.mode == "RGB" else image.convert("RGB")
        return Decoded(orientation.turn_upright(_reduce(image, _factor(image.size)), turn), size)


def shrink(image: Image.Image, size: tuple[int, int]) -> Image.Image | None:
    """Scales an image down, by a whole number, to the size of its overlay.

    Args:
      image: the image, possibly decoded at a fraction of its size.
      size: width and height of the whole image.

    Returns:
      The same object if it is small enough; None if it is smaller than the overlay.
    """
    factor = _factor(size)
    if max(image.size) * factor < max(size):
        return None
    return _reduce(image, _factor(image.size))


def _reduce(image: Image.Image, factor: int) -> Image.Image:
    return image.reduce(factor) if factor > 1 else image


def _factor(size: tuple[int, int]) -> int:
    return -(-max(size) // MAX_SIDE)


def annotate(image: Image.Image, detections: Detections, extent: Sequence[float] | None = None) -> Image.Image:
    """Draws detections: the activation map if `extent` is given, all boxes, and class and score of the first one.

    The score is that of the box; of old exports, which have none, the probability of the class.

    Args:
      image: mode RGB, upright. It may be drawn on.
      detections: the detections of the image.
      extent: the part of the image that the activation map covers, [ymin, xmin, ymax, xmax] in fractions; None draws no
        map.

    Returns:
      The image with the drawing.
    """
    if extent is not None and detections.activation_map is not None:
        image = Image.fromarray(visualize.overlay(np.asarray(image), detections.activation_map, extent=extent))
    scores = detections.scores if detections.box_scores is None else detections.box_scores
    text = f"{detections.class_names[0]} {scores[0]:.2f}" if detections.class_names else ""
    draw_boxes(image, detections.boxes, text)
    return image


def draw_boxes(image: Image.Image, boxes: Sequence[Sequence[float]], text: str) -> None:
    """Draws boxes onto an image, and a text at the first one.

    Args:
      image: mode RGB, upright.
      boxes: float [D, 4], [ymin, xmin, ymax, xmax] in fractions of the image; D may be 0.
      text: is written inside the first box, at its upper left corner. It is left out if it needs more than half of the
        width: it would hide the object.
    """
    width, height = image.size
    line = max(2, round(min(height, width) / 100))
    boxes = np.reshape(boxes, [-1, 4])
    visualize.outline(image, boxes, width=line)
    pen = ImageDraw.Draw(image)
    if text and len(boxes) and pen.textlength(text) <= width / 2:
        corner = (round(boxes[0, 1] * width) + 2 * line, round(boxes[0, 0] * height) + 2 * line)
        pen.rectangle(pen.textbbox(corner, text), fill=(255, 255, 255))
        pen.text(corner, text, fill=_TEXT)


def encode(image: Image.Image) -> bytes:
    """Returns an overlay as a JPEG, in which thin lines keep their colour; a PNG would take ten times as long."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=_QUALITY, subsampling=0)
    return file.getvalue()
