"""Drawings of activation maps and boxes, with NumPy and Pillow only; `sheets` puts them side by side.

Images are uint8 [H, W, 3], maps float [h, w] or [h, w, 1] in 0..1, boxes [ymin, xmin, ymax, xmax] in fractions of
the image.
"""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

# The paper's colours. Unlike red and green, blue and this green differ to nearly all colour-blind people.
PREDICTED = (40, 230, 60)
GROUND_TRUTH = (30, 90, 255)

# Viridis (CC0) at even steps from 0 to 1: equal differences look equal, also in grey and to colour-blind people.
_ANCHORS = np.array(
    [(68, 1, 84), (71, 44, 122), (59, 81, 139), (44, 113, 142), (33, 144, 141)]
    + [(39, 173, 129), (92, 200, 99), (170, 220, 50), (253, 231, 37)],
    np.float64,
)
_ROWS = 16  # rows that an overlay mixes at once: floats of a whole photograph need much memory
_RIM = (30, 30, 30)


def heatmap(activation_map: np.ndarray) -> np.ndarray:
    """Colours a map from dark blue (0) through green to yellow (1); values are clipped to 0..1, NaN counts as 0.

    Args:
      activation_map: float [h, w] or [h, w, 1].

    Returns:
      uint8 [h, w, 3].

    Raises:
      ValueError: for another shape.
    """
    values = _as_plane(activation_map)
    stops = np.linspace(0.0, 1.0, len(_ANCHORS))
    colours = [np.interp(values, stops, channel) for channel in _ANCHORS.T]
    return np.stack(colours, axis=-1).round().astype(np.uint8)


def overlay(
    image: np.ndarray, activation_map: np.ndarray, *, alpha: float = 0.5, extent: Sequence[float] = (0, 0, 1, 1)
) -> np.ndarray:
    """Blends the image with the coloured map, which is enlarged bilinearly.

    Args:
      image: uint8 [H, W, 3].
      activation_map: float [h, w] or [h, w, 1].
      alpha: the weight of the map, 0..1.
      extent: the part of the image that the map covers, ymin xmin ymax xmax in fractions; outside the map counts as 0.

    Returns:
      uint8 [H, W, 3].

    Raises:
      TypeError: if the image is not uint8.
      ValueError: for another shape, or if alpha is out of range.
    """
    image = check_image(image)
    if not 0.0 <= alpha <= 1.0:
        raise ValueError(f"alpha must lie in 0..1, got {alpha}.")
    (top, bottom), (left, right) = (_pixel_range(extent[i], extent[i + 2], image.shape[i]) for i in (0, 1))
    coarse = Image.fromarray((_as_plane(activation_map) * 255).round().astype(np.uint8))
    levels = np.zeros(image.shape[:2], np.uint8)
    levels[top:bottom, left:right] = coarse.resize((right - left, bottom - top), Image.Resampling.BILINEAR)
    colours = heatmap(np.linspace(0.0, 1.0, 256)[np.newaxis])[0]
    mixed = np.empty_like(image)
    for start in range(0, len(image), _ROWS):
        rows = slice(start, start + _ROWS)
        mixed[rows] = (image[rows] * np.float32(1.0 - alpha) + colours[levels[rows]] * np.float32(alpha)).round()
    return mixed


def draw_boxes(
    image: np.ndarray, boxes: np.ndarray, *, colour: Sequence[int] = PREDICTED, width: int = 2
) -> np.ndarray:
    """Draws the outlines of boxes, inside their edges and with a thin dark rim, on a copy of the image.

    Args:
      image: uint8 [H, W, 3].
      boxes: float [M, 4] or [4]; rows without area are padding and not drawn.
      colour: red, green and blue, 0..255.
      width: width of the line in pixels.

    Returns:
      uint8 [H, W, 3].

    Raises:
      TypeError: if the image is not uint8.
      ValueError: for another shape.
    """
    canvas = Image.fromarray(check_image(image))
    outline(canvas, boxes, colour=colour, width=width)
    return np.array(canvas)


def outline(canvas: Image.Image, boxes: np.ndarray, *, colour: Sequence[int] = PREDICTED, width: int = 2) -> None:
    """Draws boxes like `draw_boxes`, but in place on a Pillow image of mode RGB: a copy of a photograph is large."""
    boxes = np.asarray(boxes, np.float64)
    if boxes.ndim not in (1, 2) or boxes.shape[-1] != 4:
        raise ValueError(f"boxes must have the shape [M, 4] or [4], got {list(boxes.shape)}.")
    pen = ImageDraw.Draw(canvas)
    for ymin, xmin, ymax, xmax in boxes.reshape(-1, 4):
        if ymax <= ymin or xmax <= xmin:
            continue
        left, right = _pixel_range(xmin, xmax, canvas.width)
        top, bottom = _pixel_range(ymin, ymax, canvas.height)
        line = max(1, min(width, (right - left) // 2, (bottom - top) // 2))
        inside = (left + line, top + line, right - 1 - line, bottom - 1 - line)
        if inside[0] < inside[2] and inside[1] < inside[3]:
            pen.rectangle(inside, outline=_RIM)
        pen.rectangle((left, top, right - 1, bottom - 1), outline=tuple(colour), width=line)


def _pixel_range(low: float, high: float, size: int) -> tuple[int, int]:
    """Returns the half-open range of pixels between two fractions: within the image, and at least one pixel."""
    start = int(np.clip(round(low * size), 0, size - 1))
    return start, int(np.clip(round(high * size), start + 1, size))


def _as_plane(activation_map: np.ndarray) -> np.ndarray:
    """Returns a map as float64 [h, w], clipped to 0..1, with NaN as 0."""
    values = np.asarray(activation_map, np.float64)
    values = values[..., 0] if values.ndim == 3 and values.shape[-1] == 1 else values
    if values.ndim != 2 or not values.size:
        raise ValueError(f"activation_map must have the shape [h, w] or [h, w, 1], got {list(values.shape)}.")
    return np.nan_to_num(np.clip(values, 0.0, 1.0), nan=0.0)


def check_image(image: np.ndarray) -> np.ndarray:
    """Returns an image as an array.

    Raises:
      TypeError: if the image is not uint8.
      ValueError: unless it is [H, W, 3].
    """
    image = np.asarray(image)
    if image.dtype != np.uint8:
        raise TypeError(f"image must be uint8 in 0..255, got {image.dtype}; scale and convert it first.")
    if image.ndim != 3 or image.shape[-1] != 3 or not image.size:
        raise ValueError(f"image must have the shape [H, W, 3], got {list(image.shape)}.")
    return image
