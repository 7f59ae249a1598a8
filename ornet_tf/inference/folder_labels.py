"""Takes the class of an image from its folder, in place of the predicted one. TensorFlow is not imported."""
from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from absl import logging

from ornet_tf import paths
from ornet_tf.errors import UserError

_LISTED = 20  # differences, in the log


class FolderLabels:
    """The classes of images in folders: the folder directly below a common one is the class of all images in it."""

    def __init__(self, folder: str, class_names: Sequence[str]):
        """Reads nothing.

        Args:
          folder: the folder that holds the folders of classes.
          class_names: of the run.

        Raises:
          UserError: if `folder` is no path on this machine.
        """
        self._folder = os.fspath(paths.local(folder, "--labels"))
        self._index = {name: index for index, name in enumerate(class_names)}

    def of(self, file: str) -> str:
        """Returns the class of an image.

        Raises:
          UserError: if it is in no folder of a class, or the run has no such class.
        """
        below = os.path.relpath(os.path.abspath(file), self._folder).split(os.sep)
        if below[0] == os.pardir or len(below) < 2:
            raise UserError(f"--labels: expected {file} in the folder of a class below {self._folder}; move it there.")
        label = unicodedata.normalize("NFC", below[0])
        if label not in self._index:
            known = ", ".join(list(self._index)[:10]) + (", ..." if len(self._index) > 10 else "")
            raise UserError(f"--labels: {file} is in a folder {label!r}, which is no class of the run; it has {known}.")
        return label

    def apply(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Returns an entry of predictions.json with the class of the folder for all its objects.

        `class` and `class_name` are those of the folder, `predicted_class_name` is that of the model. `score` stays the
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
    """Collects the images whose folder and model disagree: label errors are among them."""

    def __init__(self) -> None:
        self._count, self._first = 0, []

    def add(self, entry: Mapping[str, Any]) -> None:
        """Takes an entry of predictions.json."""
        label, predicted = entry.get("class_name"), entry.get("predicted_class_name")
        if predicted is not None and predicted != label:
            self._count += 1
            if len(self._first) < _LISTED:
                self._first.append(f"\n  {entry['file']}: folder {label}, predicted {predicted}")

    def log(self) -> None:
        """Logs the number of images and the first ones."""
        if self._count:
            more = f"\n  and {self._count - _LISTED} more" if self._count > _LISTED else ""
            logging.info(
                "The model predicts another class than that of the folder for %d images; some labels may be wrong:%s%s",
                self._count, "".join(self._first), more,
            )
