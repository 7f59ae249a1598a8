"""Reads boxes of images from a table: file,xmin,ymin,xmax,ymax in pixels, half-open; an image may have several."""
from __future__ import annotations

import csv
import math
import pathlib
import posixpath
import unicodedata
from collections.abc import Collection, Iterator

from ornet_tf.datasets import _files
from ornet_tf.errors import UserError

COLUMNS = ("file", "xmin", "ymin", "xmax", "ymax")


def read(path: pathlib.Path, *, prefix: str, known: Collection[str]) -> list[tuple[str, list[float]]]:
    """Returns (image name, [ymin, xmin, ymax, xmax]) for each line of a table, in its order.

    Args:
      path: a CSV file in UTF-8 whose first line names at least `COLUMNS`, in any order and case.
      prefix: what to put before each `file`, which is relative to the table's folder or absolute, to get an image's
        name; such as the name of that folder.
      known: the names of all images (NFC).

    Raises:
      UserError: for a missing column, an unknown image, a box that is no box, or boxes that are not in pixels.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream)
            lines = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path}: expected a CSV table in UTF-8: {error}.") from None
    number, header = lines[0] if lines else (1, [])
    header = [cell.strip().lower() for cell in header]
    if any(header.count(column) != 1 for column in COLUMNS):
        got = ",".join(header) or "nothing"
        raise UserError(f"{path}, line {number}: expected the columns {','.join(COLUMNS)}, got {got}.")
    places = [header.index(column) for column in COLUMNS]

    boxes = []
    for number, row in lines[1:]:
        where = f"{path}, line {number}"
        if len(row) <= max(places):
            raise UserError(f"{where}: expected {len(header)} cells, got {len(row)}.")
        file, *cells = (row[place] for place in places)
        # Spaces around a cell are left out, unless the file's or its folder's name has them.
        names = (name for text in (file, file.strip()) for name in _names(text, path.parent, prefix))
        name = next((name for name in names if name in known), None)
        if name is None:
            form = "; a path may be absolute, or relative to that folder"
            raise UserError(f"{where}: expected an image below {path.parent}{form}, got {file!r}.")
        boxes.append((name, _box(cells, where)))
    if boxes and max(max(box) for _, box in boxes) <= 1:
        raise UserError(f"{path}: expected boxes in pixels, but none reaches beyond 1; multiply by the image sizes.")
    return boxes


def _names(file: str, folder: pathlib.Path, prefix: str) -> Iterator[str]:
    """Yields what the image may be named that a table in `folder` calls `file`."""

    def name(below: str) -> str:
        return posixpath.normpath(posixpath.join(prefix, unicodedata.normalize("NFC", below)))

    if not posixpath.isabs(file):
        yield name(file)
        return
    # The table may write the folder in another Unicode form.
    yield name(posixpath.relpath(*(unicodedata.normalize("NFC", text) for text in (file, str(folder)))))
    yield from map(name, _files.through_links(file, folder))


def _box(cells: list[str], where: str) -> list[float]:
    try:
        xmin, ymin, xmax, ymax = map(float, cells)
    except ValueError:
        raise UserError(f"{where}: expected four numbers, got {','.join(cells)}.") from None
    if not all(map(math.isfinite, (xmin, ymin, xmax, ymax))):
        raise UserError(f"{where}: expected four finite numbers, got {','.join(cells)}.")
    if not (xmin < xmax and ymin < ymax):
        raise UserError(f"{where}: expected xmin < xmax and ymin < ymax, got {','.join(cells)}.")
    return [ymin, xmin, ymax, xmax]
