"""Reads a CSV table of boxes: file,xmin,ymin,xmax,ymax in pixels, half-open; an image may have several rows."""
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


def read(path: pathlib.Path, *, prefix: str, image_names: Collection[str]) -> list[tuple[str, list[float]]]:
    """Returns (image name, [ymin, xmin, ymax, xmax]) for each row of a table, in its order.

    Args:
      path: a CSV file in UTF-8 whose first line names at least `COLUMNS`, in any order and case. `file` is absolute or
        relative to the folder of the table.
      prefix: the path of the table's folder, relative to the folder that image names are relative to.
      image_names: the names of all images (NFC).

    Raises:
      UserError: for a missing column, an unknown image, a box that is not four finite numbers or has no area, or boxes
        that are not in pixels.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream)
            rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path}: expected a CSV table in UTF-8: {error}.") from None
    number, header = rows[0] if rows else (1, [])
    header = [cell.strip().lower() for cell in header]
    if any(header.count(column) != 1 for column in COLUMNS):
        got = ",".join(header) or "nothing"
        raise UserError(f"{path}, line {number}: expected the columns {','.join(COLUMNS)}, got {got}.")
    columns = [header.index(column) for column in COLUMNS]

    boxes = []
    for number, row in rows[1:]:
        where = f"{path}, line {number}"
        if len(row) <= max(columns):
            raise UserError(f"{where}: expected {len(header)} cells, got {len(row)}.")
        file, *cells = (row[column] for column in columns)
        # Spaces around a cell are stripped, unless they are part of a file's or folder's name.
        candidates = (name for text in (file, file.strip()) for name in _possible_names(text, path.parent, prefix))
        name = next((name for name in candidates if name in image_names), None)
        if name is None:
            form = "; a path may be absolute, or relative to that folder"
            raise UserError(f"{where}: expected an image below {path.parent}{form}, got {file!r}.")
        boxes.append((name, _parse_box(cells, where)))
    if boxes and max(max(box) for _, box in boxes) <= 1:
        raise UserError(f"{path}: expected boxes in pixels, got no coordinate above 1; multiply by the image sizes.")
    return boxes


def _possible_names(file: str, folder: pathlib.Path, prefix: str) -> Iterator[str]:
    """Yields the possible image names of a `file` that a table in `folder` lists."""

    def image_name(path: str) -> str:
        return posixpath.normpath(posixpath.join(prefix, unicodedata.normalize("NFC", path)))

    if not posixpath.isabs(file):
        yield image_name(file)
        return
    # The table may write the folder in another Unicode form.
    yield image_name(posixpath.relpath(*(unicodedata.normalize("NFC", text) for text in (file, str(folder)))))
    yield from map(image_name, _files.resolve_links(file, folder))


def _parse_box(cells: list[str], where: str) -> list[float]:
    try:
        xmin, ymin, xmax, ymax = map(float, cells)
    except ValueError:
        raise UserError(f"{where}: expected four numbers, got {','.join(cells)}.") from None
    if not all(map(math.isfinite, (xmin, ymin, xmax, ymax))):
        raise UserError(f"{where}: expected four finite numbers, got {','.join(cells)}.")
    if not (xmin < xmax and ymin < ymax):
        raise UserError(f"{where}: expected xmin < xmax and ymin < ymax, got {','.join(cells)}.")
    return [ymin, xmin, ymax, xmax]
