"""Sheets that compare images, activation maps and boxes side by side, with NumPy and Pillow only.

Images are uint8 [H, W, 3], maps float [h, w] or [h, w, 1] in 0..1, boxes [ymin, xmin, ymax, xmax] in fractions of
the image.
"""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ornet_tf.maps import visualize

_PAPER, _INK, _FAINT = (255, 255, 255), (30, 30, 30), (110, 110, 110)
_MIN_SIDE = 192  # pixels; smaller images are enlarged to at least this
_GAP = 8  # pixels
_LINE = 20  # pixels, height of a line of text
_LEGEND_WIDTH = 440  # pixels


def panel(
    image: np.ndarray, activation_map: np.ndarray, predicted: np.ndarray, ground_truth: np.ndarray | None = None, *,
    caption: str = "",
) -> np.ndarray:
    """Draws an image, its map and the image with its boxes side by side, with a caption above.

    Small images are enlarged by a whole factor, without interpolation.

    Args:
      image: uint8 [H, W, 3].
      activation_map: float [h, w] or [h, w, 1], over the whole image.
      predicted: float [M, 4] or [4], drawn in `visualize.PREDICTED`.
      ground_truth: float [M, 4] or [4], drawn in `visualize.GROUND_TRUTH` below the predicted boxes; None if unknown.
      caption: one line, truncated to fit.

    Returns:
      uint8 [H', W', 3].

    Raises:
      TypeError: if the image is not uint8.
      ValueError: for another shape.
    """
    large = enlarge(image)
    height, width = large.shape[:2]
    colours = Image.fromarray(visualize.heatmap(activation_map)).resize((width, height), Image.Resampling.NEAREST)
    boxed = with_boxes(large, predicted, ground_truth)
    above = _LINE if caption else 0
    sheet = Image.new("RGB", (3 * width + 2 * _GAP, above + height), _PAPER)
    for column, tile in enumerate((Image.fromarray(large), colours, Image.fromarray(boxed))):
        sheet.paste(tile, (column * (width + _GAP), above))
    _write(ImageDraw.Draw(sheet), (0, 0), caption, _INK, sheet.width)
    return np.array(sheet)


def with_boxes(image: np.ndarray, predicted: np.ndarray, ground_truth: np.ndarray | None = None) -> np.ndarray:
    """Draws predicted boxes over wider ground truth on a copy of an enlarged image; see `panel`."""
    if ground_truth is not None:
        image = visualize.draw_boxes(image, ground_truth, colour=visualize.GROUND_TRUTH, width=3)
    return visualize.draw_boxes(image, predicted)


def grid(
    rows: Sequence[np.ndarray | Sequence[np.ndarray]], *, title: str = "", heads: Sequence[str] = (), boxes: bool = True
) -> np.ndarray:
    """Stacks panels under a title and a legend.

    Args:
      rows: panels of any size, uint8 [H, W, 3], or lists of panels, which are placed side by side.
      title: one line.
      heads: one line above each panel of the first row, truncated to fit; () for none.
      boxes: whether the legend explains the colours of boxes, beside those of the map.

    Returns:
      uint8 [H', W', 3].

    Raises:
      ValueError: if there is no panel.
    """
    rows = [[row] if isinstance(row, np.ndarray) else list(row) for row in rows]
    rows = [[enlarge(tile) for tile in row] for row in rows if row]
    if not rows:
        raise ValueError("grid expects at least one panel, got none.")
    gap = 2 * _GAP
    width = max(sum(tile.shape[1] + gap for tile in row) for row in rows) + gap
    legend = gap // 2 + (_LINE if title else 0)  # its top
    top = legend + _LINE + gap + (_LINE if heads else 0)
    height = top + sum(max(tile.shape[0] for tile in row) + gap for row in rows)
    sheet = Image.new("RGB", (max(width, _LEGEND_WIDTH), height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    _write(pen, (gap, gap // 2), title, _INK, sheet.width - 2 * gap, size=17)
    _legend(sheet, gap, legend, boxes=boxes)
    left = gap
    for head, tile in zip(heads, rows[0]):
        _write(pen, (left, top - _LINE - 2), head, _INK, left + tile.shape[1])
        left += tile.shape[1] + gap
    for row in rows:
        left = gap
        for tile in row:
            sheet.paste(Image.fromarray(tile), (left, top))
            left += tile.shape[1] + gap
        top += max(tile.shape[0] for tile in row) + gap
    return np.array(sheet)


def enlarge(image: np.ndarray) -> np.ndarray:
    """Enlarges an image by a whole factor to a longer side of at least 192 pixels, without interpolation.

    Raises:
      TypeError: if the image is not uint8.
      ValueError: for another shape.
    """
    image = visualize.check_image(image)
    factor = max(1, -(-_MIN_SIDE // max(image.shape[:2])))
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def _legend(sheet: Image.Image, left: int, top: int, *, boxes: bool) -> None:
    """Draws the legend: the colour scale of the map and, if `boxes`, the two kinds of boxes."""
    pen = ImageDraw.Draw(sheet)
    middle = top + _LINE // 2
    scale = Image.fromarray(visualize.heatmap(np.tile(np.linspace(0.0, 1.0, 80), (10, 1))))
    left = _write(pen, (left, top), "map  0", _FAINT, sheet.width) + _GAP
    sheet.paste(scale, (left, middle - 5))
    left = _write(pen, (left + scale.width + _GAP, top), "1", _FAINT, sheet.width)
    kinds = ((visualize.PREDICTED, "predicted box"), (visualize.GROUND_TRUTH, "ground truth"))
    for colour, text in kinds if boxes else ():
        left += 2 * _GAP
        pen.rectangle((left, middle - 5, left + 13, middle + 4), outline=colour, width=2)
        left = _write(pen, (left + 14 + _GAP, top), text, _FAINT, sheet.width)


def _write(
    pen: ImageDraw.ImageDraw, position: tuple, text: str, colour: Sequence[int], right: int, *, size: int = 13
) -> int:
    """Writes one line of text of height `_LINE`, truncated before x = `right`; returns the x where it ends."""
    font = ImageFont.load_default(size)
    left, top = position
    if left + font.getlength(text) > right:
        while text and left + font.getlength(text + "...") > right:
            text = text[:-1]
        text += "..."
    pen.text((left, top + _LINE // 2), text, fill=tuple(colour), font=font, anchor="lm")
    return left + int(font.getlength(text))
