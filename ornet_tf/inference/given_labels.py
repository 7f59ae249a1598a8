"""Takes the class of an image from its folder or a table, in place of the predicted one. TensorFlow is not imported."""
from __future__ import annotations

import collections
import csv
import os
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from absl import logging

from ornet_tf import paths
from ornet_tf.errors import UserError

_COLUMNS = ("file", "class")
_LISTED = 20  # differences, in the log


class GivenLabels:
    """The classes of images, from a table or from folders: the folder directly below a common one is the class."""

    def __init__(self, path: str, class_names: Sequence[str]):
        """Reads the table, if it is one.

        Args:
          path: the folder that holds the folders of classes, or a CSV file in UTF-8 with the columns file,class.
            `file` is absolute or relative to the folder of the table.
          class_names: of the run.

        Raises:
          UserError: if there is no file or folder at `path`, or a line of the table has another form, an unknown class,
            or one whose name another class shares.
        """
        self._path = os.fspath(paths.local(path, "--labels"))
        self._index = {name: index for index, name in enumerate(class_names)}
        self._shared = {name for name, count in collections.Counter(class_names).items() if count > 1}
        if not os.path.exists(self._path):
            raise UserError(f"--labels: expected a folder of class folders or a CSV file; there is nothing at {path}.")
        self._table = self._read_table() if os.path.isfile(self._path) else None

    def of(self, file: str) -> str:
        """Returns the class of an image.

        Raises:
          UserError: if the table does not have it, it is in no folder of a class, or the run has not exactly one class
            of that name.
        """
        if self._table is not None:
            label = self._table.get(_key(file))
            if label is None:
                raise UserError(f"--labels: expected a line for {file} in {self._path}; add one.")
            return label
        below = os.path.relpath(os.path.abspath(file), self._path).split(os.sep)
        if below[0] == os.pardir or len(below) < 2:
            raise UserError(f"--labels: expected {file} in the folder of a class below {self._path}; move it there.")
        label = unicodedata.normalize("NFC", below[0])
        self._check_known(label, f"{file} is in a folder")
        return label

    def index(self, file: str) -> int:
        """Returns the index of an image's class, counted from 0; see `of`."""
        return self._index[self.of(file)]

    def _check_known(self, label: str, where: str) -> None:
        if label not in self._index:
            known = ", ".join(list(self._index)[:10]) + (", ..." if len(self._index) > 10 else "")
            raise UserError(f"--labels: {where} {label!r}, which is no class of the run; it has {known}.")
        if label in self._shared:
            raise UserError(
                f"--labels: {where} {label!r}, the name of several classes of the run, so it is ambiguous; predict "
                "without --labels, or train with a name of its own for each class."
            )

    def _read_table(self) -> dict[str, str]:
        """Returns the key of each file -> its class."""
        table: dict[str, str] = {}
        try:
            with open(self._path, newline="", encoding="utf-8-sig") as stream:
                reader = csv.reader(stream)
                header = [cell.strip().lower() for cell in next(reader, [])]
                if any(header.count(column) != 1 for column in _COLUMNS):
                    got = ",".join(header) or "nothing"
                    raise UserError(f"--labels: expected the columns {','.join(_COLUMNS)} in {self._path}, got {got}.")
                columns = [header.index(column) for column in _COLUMNS]
                for row in (row for row in reader if any(cell.strip() for cell in row)):
                    where = f"{self._path}, line {reader.line_num}"
                    if len(row) <= max(columns):
                        raise UserError(f"--labels: {where}: expected {len(header)} cells, got {len(row)}.")
                    file, label = (row[column].strip() for column in columns)
                    label = unicodedata.normalize("NFC", label)
                    key = _key(os.path.join(os.path.dirname(self._path), file))
                    self._check_known(label, f"{where} has the class")
                    if table.setdefault(key, label) != label:
                        raise UserError(f"--labels: {where}: expected one class for {file}, got {table[key]}, {label}.")
        except (csv.Error, UnicodeDecodeError) as error:
            raise UserError(f"--labels: expected a CSV table in UTF-8, but {self._path}: {error}.") from None
        return table

    def apply(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Returns an entry of predictions.json with the given class for all its objects.

        `class` and `class_name` are the given ones, `predicted_class_name` is that of the model. `score` stays the
        probability of the predicted class. An image without a box has no class.

        Raises:
          UserError: see `of`.
        """
        label = self.of(entry["file"])
        objects = [self._relabel(one, label) for one in (entry, *entry.get("others", []))]
        return {**objects[0], "others": objects[1:]} if objects[1:] else objects[0]

    def _relabel(self, one: Mapping[str, Any], label: str) -> dict[str, Any]:
        if "class_name" not in one:
            return dict(one)
        predicted = one.get("predicted_class_name", one["class_name"])
        return {**one, "class": self._index[label], "class_name": label, "predicted_class_name": predicted}


class Differences:
    """Collects the images whose given and predicted class disagree: label errors are among them."""

    def __init__(self) -> None:
        self._count, self._first = 0, []

    def add(self, entry: Mapping[str, Any]) -> None:
        """Takes an entry of predictions.json."""
        label, predicted = entry.get("class_name"), entry.get("predicted_class_name")
        if predicted is not None and predicted != label:
            self._count += 1
            if len(self._first) < _LISTED:
                self._first.append(f"\n  {entry['file']}: given {label}, predicted {predicted}")

    def log(self) -> None:
        """Logs the number of images and the first ones."""
        if self._count:
            more = f"\n  and {self._count - _LISTED} more" if self._count > _LISTED else ""
            logging.info(
                "The model predicts another class than the given one for %d images; some labels may be wrong:%s%s",
                self._count, "".join(self._first), more,
            )


def _key(file: str) -> str:
    return unicodedata.normalize("NFC", os.path.abspath(file))
