"""What the report of a study is made of: tables and pictures, in the order in which they are shown."""
from __future__ import annotations

import typing

import numpy as np


class Table(typing.NamedTuple):
    """A table as text and as numbers.

    Attributes:
      name: names its CSV file, together with the study.
      title: one line.
      head: names of the columns; the first column holds the labels.
      lines: the cells of each line as text.
      numbers: for CSV: one dictionary per line, name of the column -> number; "label" is the label.
      notes: sentences below the table: sources, and meanings of columns.
      is_long: whether it holds the numbers of a curve: the page folds it, and Markdown leaves it out.
    """

    name: str
    title: str
    head: list[str]
    lines: list[list[str]]
    numbers: list[dict[str, object]]
    notes: tuple[str, ...] = ()
    is_long: bool = False


class Picture(typing.NamedTuple):
    """A chart or a gallery.

    Attributes:
      name: names its PNG file, together with the study.
      title: one line.
      pixels: uint8 [H, W, 3].
      notes: sentences below the picture: how images were chosen, and what is missing.
    """

    name: str
    title: str
    pixels: np.ndarray
    notes: tuple[str, ...] = ()
