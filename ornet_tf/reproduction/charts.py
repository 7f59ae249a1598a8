"""Charts for reports: curves, step histograms and bars with intervals. NumPy and Pillow only.

All are drawn at twice their size and reduced, so that lines are smooth.
"""
from __future__ import annotations

import typing
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

# Okabe and Ito's colours, which colour-blind eyes tell apart.
_COLOURS = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233), (0, 0, 0))
_COLOURS += ((140, 110, 70), (150, 150, 150))
_PAPER, _INK, _FAINT, _GRID = (255, 255, 255), (30, 30, 30), (110, 110, 110), (225, 225, 225)
_FINE = 2  # pixels that become one, on each side
_WIDTH, _HEIGHT = 960, 560  # of a chart, in pixels
_LINE = 26  # height of a line of text
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 24, 44, 66
_MARK = 5
_MOST_TICKS = 8


class Series(typing.NamedTuple):
    """One line, histogram or bar of each category.

    Attributes:
      name: for the legend.
      x: where the values are; ascending. For `steps` the B + 1 edges of B bins.
      y: the values, as many as x, or as bins.
      low: lower ends of intervals; None for none.
      high: upper ends.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


def lines(series: Sequence[Series], *, title: str, x_label: str, y_label: str, steps: bool = False) -> np.ndarray:
    """Draws curves over one axis, with marks and intervals where they have some.

    Args:
      series: at least one, each with at least one value.
      title: above the chart.
      x_label: what is on the axis, with its unit.
      y_label: what the values are, with their unit.
      steps: whether the values are those of bins: drawn as steps, without marks.

    Returns:
      uint8 [H, W, 3].

    Raises:
      ValueError: if there is nothing to draw, or lengths do not fit.
    """
    _check(series, steps)
    edges = np.concatenate([np.asarray(s.x, float) for s in series])
    highest = max(np.max(np.asarray(s.y if s.high is None else s.high, float)) for s in series)
    legend = _LINE * len(series)
    canvas = _Canvas(_WIDTH, _HEIGHT + legend, _LEFT, _BOTTOM + legend)
    canvas.title(title)
    canvas.axes((edges.min(), edges.max()), (0.0, highest or 1.0), x_label, y_label)
    for index, s in enumerate(series):
        colour = _COLOURS[index % len(_COLOURS)]
        x, y = np.asarray(s.x, float), np.asarray(s.y, float)
        if steps:
            x, y = np.repeat(x, 2)[1:-1], np.repeat(y, 2)
        canvas.polyline(x, y, colour)
        if not steps:
            for place, value in zip(x, y):
                canvas.mark(place, value, colour)
        if s.low is not None:
            for place, low, high in zip(s.x, s.low, s.high):
                canvas.interval(place, low, high, colour)
        canvas.legend(index, _HEIGHT - 8, s.name, colour)
    return canvas.image()


def bars(labels: Sequence[str], parts: Sequence[Series], *, title: str, x_label: str) -> np.ndarray:
    """Draws a horizontal bar for each label, of parts that stand one after the other.

    Args:
      labels: one for each bar.
      parts: their `y` are the lengths, at least 0, one for each label; `x` is not looked at. Intervals belong to the
        end of a part.
      title: above the chart.
      x_label: what the lengths are, with their unit.

    Returns:
      uint8 [H, W, 3].

    Raises:
      ValueError: if there is nothing to draw, or lengths do not fit.
    """
    if not labels or not parts or any(len(part.y) != len(labels) for part in parts):
        raise ValueError(f"bars expects a value of each part for each of {len(labels)} labels.")
    row, many = 34, len(parts) > 1
    legend = _LINE * len(parts) if many else 0
    left = int(min(400, 40 + max(ImageFont.load_default(15).getlength(label) for label in labels)))
    bottom = _BOTTOM + legend
    canvas = _Canvas(_WIDTH, _TOP + row * len(labels) + bottom, left, bottom)
    canvas.title(title)
    ends = np.cumsum([np.asarray(part.y, float) for part in parts], axis=0)
    highest = max([ends.max(), *(np.max(part.high) for part in parts if part.high is not None)])
    canvas.axes((0.0, highest or 1.0), (0.0, float(len(labels))), x_label, "", y_ticks=False)
    for line, label in enumerate(labels):
        middle = len(labels) - line - 0.5
        canvas.label(label, middle)
        for index, part in enumerate(parts):
            start = ends[index - 1][line] if index else 0.0
            canvas.bar(start, ends[index][line], middle, _COLOURS[index % len(_COLOURS)])
            if part.low is not None:
                canvas.interval(middle, part.low[line], part.high[line], _INK, upright=False)
    for index, part in enumerate(parts if many else ()):
        canvas.legend(index, _TOP + row * len(labels) + _BOTTOM - 8, part.name, _COLOURS[index % len(_COLOURS)])
    return canvas.image()


def _check(series: Sequence[Series], steps: bool) -> None:
    if not series:
        raise ValueError("A chart needs at least one series, got none.")
    for s in series:
        if not len(s.y) or len(s.x) != len(s.y) + int(steps):
            wanted = "an edge more than values" if steps else "as many places as values"
            raise ValueError(f"Series {s.name!r}: expected {wanted}, got {len(s.x)} and {len(s.y)}.")


def ticks(low: float, high: float) -> list[float]:
    """Returns round numbers in low..high, in steps of 1, 2 or 5 times a power of ten, `_MOST_TICKS` + 1 at most."""
    if not high > low:
        return [low]
    rough = (high - low) / _MOST_TICKS
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first = np.ceil(low / step - 1e-9)
    count = int(np.floor(high / step - first + 1e-9)) + 1
    return [round(float((first + index) * step), 10) for index in range(count)]


class _Canvas:
    """A sheet with axes; places are in units of the data."""

    def __init__(self, width: int, height: int, left: int, bottom: int):
        self._image = Image.new("RGB", (width * _FINE, height * _FINE), _PAPER)
        self._pen = ImageDraw.Draw(self._image)
        self._frame = (left, _TOP, width - _RIGHT, height - bottom)
        self._x = self._y = (0.0, 1.0)

    def image(self) -> np.ndarray:
        size = (self._image.width // _FINE, self._image.height // _FINE)
        return np.array(self._image.resize(size, Image.Resampling.LANCZOS))

    def _place(self, x: float, y: float) -> tuple[float, float]:
        left, top, right, bottom = self._frame
        across = (x - self._x[0]) / ((self._x[1] - self._x[0]) or 1.0)
        up = (y - self._y[0]) / ((self._y[1] - self._y[0]) or 1.0)
        return (left + across * (right - left)) * _FINE, (bottom - up * (bottom - top)) * _FINE

    def _text(self, place: tuple[float, float], text: str, anchor: str, colour=_INK, size: int = 15) -> None:
        self._pen.text(place, text, fill=colour, font=ImageFont.load_default(size * _FINE), anchor=anchor)

    def title(self, text: str) -> None:
        self._text((16 * _FINE, _TOP / 2 * _FINE), text, "lm", size=18)

    def axes(self, x: tuple, y: tuple, x_label: str, y_label: str, *, y_ticks: bool = True) -> None:
        self._x, self._y = x, (y[0], y[1] * 1.05 if y_ticks else y[1])
        left, top, right, bottom = (side * _FINE for side in self._frame)
        for tick in ticks(*self._x):
            place, _ = self._place(tick, self._y[0])
            self._pen.line((place, top, place, bottom), fill=_GRID, width=_FINE)
            self._text((place, bottom + 6 * _FINE), f"{tick:g}", "mt", _FAINT)
        for tick in ticks(*self._y) if y_ticks else ():
            _, place = self._place(self._x[0], tick)
            self._pen.line((left, place, right, place), fill=_GRID, width=_FINE)
            self._text((left - 8 * _FINE, place), f"{tick:g}", "rm", _FAINT)
        self._pen.line((left, top, left, bottom, right, bottom), fill=_INK, width=_FINE)
        self._text(((left + right) / 2, bottom + 30 * _FINE), x_label, "mt")
        if y_label:
            font = ImageFont.load_default(15 * _FINE)
            strip = Image.new("RGB", (int(font.getlength(y_label)) + 2 * _FINE, 22 * _FINE), _PAPER)
            ImageDraw.Draw(strip).text((0, 11 * _FINE), y_label, fill=_INK, font=font, anchor="lm")
            strip = strip.rotate(90, expand=True)
            self._image.paste(strip, (6 * _FINE, int((top + bottom - strip.height) / 2)))

    def polyline(self, x, y, colour) -> None:
        self._pen.line([self._place(*point) for point in zip(x, y)], fill=colour, width=2 * _FINE, joint="curve")

    def mark(self, x: float, y: float, colour) -> None:
        across, down = self._place(x, y)
        reach = _MARK * _FINE
        self._pen.ellipse((across - reach, down - reach, across + reach, down + reach), fill=colour)

    def interval(self, at: float, low: float, high: float, colour, *, upright: bool = True) -> None:
        ends = [self._place(*((at, end) if upright else (end, at))) for end in (low, high)]
        self._pen.line([*ends[0], *ends[1]], fill=colour, width=2 * _FINE)
        for across, down in ends:
            wide, high = (6 * _FINE, 0) if upright else (0, 6 * _FINE)
            self._pen.line((across - wide, down - high, across + wide, down + high), fill=colour, width=2 * _FINE)

    def bar(self, start: float, end: float, middle: float, colour) -> None:
        left, top = self._place(start, middle + 0.32)
        right, bottom = self._place(end, middle - 0.32)
        if right > left:
            self._pen.rectangle((left, top, right, bottom), fill=colour)

    def label(self, text: str, middle: float) -> None:
        left, down = self._place(self._x[0], middle)
        self._text((left - 10 * _FINE, down), text, "rm")

    def legend(self, index: int, top: float, text: str, colour) -> None:
        left, middle = self._frame[0] * _FINE, (top + _LINE * (index + 0.5)) * _FINE
        self._pen.rectangle((left, middle - 6 * _FINE, left + 22 * _FINE, middle + 6 * _FINE), fill=colour)
        self._text((left + 32 * _FINE, middle), text, "lm")
