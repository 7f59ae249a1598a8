"""Reads the predictions that a run has written, for the plug-ins of `ornet_tf.formats`. TensorFlow is not imported."""
from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from absl import logging

from ornet_tf.errors import UserError
from ornet_tf.formats import Box, LocalizedImage, on_disk, one_line
from ornet_tf.inference import prediction_files
from ornet_tf.inference.given_labels import Differences, GivenLabels
from ornet_tf.runs import run_folder

ACCEPTED, REJECTED = "accepted", "rejected"
_NO_CLASS = "object"  # of boxes whose model gave no class


def check_min_score(value: float) -> None:
    """Checks the least box score of formats.

    Raises:
      UserError: if it is no number from 0 to 1.
    """
    if not 0.0 <= value <= 1.0:  # NaN is in the bounds of a flag
        raise UserError(f"--min_score: expected a number from 0 to 1, got {value}.")


class WrittenPredictions:
    """The images of a folder of predictions. Each iteration reads the file anew, so no entry stays in memory.

    An image that was predicted twice is given once. Rejected images are left out altogether.

    Attributes:
      class_names: of the run, as the folder lists them; otherwise those of the boxes, with `class_I` for an index I
        that no box has. They are names in one line.
      count: the number of images.
      folder: the absolute path of the folder that holds all images; their names are relative to it.
    """

    def __init__(
        self, folder: str, *, min_score: float = 0.0, decisions: Mapping[str, str] | None = None, labels: str = ""
    ):
        """Reads the files' names and the classes.

        Args:
          folder: the folder of predictions.
          min_score: boxes with a lower box score are left out.
          decisions: `file` -> `ACCEPTED` or `REJECTED`; see `read_decisions`.
          labels: the path of `GivenLabels`, which give the classes in place of the model; empty for none. Images
            whose given and predicted class disagree are logged.

        Raises:
          FileNotFoundError: if the folder has no predictions.
          UserError: if an entry is not one that `ornet_tf.predict` writes, a decision is about no entry, an image is in
            no folder of a class, or `min_score` is no number from 0 to 1.
        """
        check_min_score(min_score)
        names = (prediction_files.LIST, prediction_files.LINES)  # the lines are those of a killed run
        found = [path for path in (os.path.join(folder, name) for name in names) if os.path.isfile(path)]
        if not found:
            raise FileNotFoundError(f"{folder}: no {' or '.join(names)}; give the folder that ornet_tf.predict wrote.")
        self._path, self._min_score = found[0], min_score
        self._left_out: set[int] = set()
        self.count, self.folder = 0, ""
        listed = os.path.join(folder, prediction_files.CLASS_NAMES)
        self.class_names = run_folder.read_json(listed, [str]) if os.path.isfile(listed) else []
        if labels and not self.class_names:
            raise UserError(f"--labels: {listed} is missing, so the classes of the run are unknown; predict again.")
        self._labels = GivenLabels(labels, self.class_names) if labels else None
        classes = self._survey(decisions or {})
        if not self.class_names:
            known = dict(classes)
            self.class_names = [known.get(i, f"class_{i}") for i in range(max(known, default=-1) + 1)]
        for index, name in sorted(classes):
            if self.class_names[index : index + 1] != [name]:  # names alone don't tell classes apart: two may share one
                contradicts = f"which {listed} or another box contradicts"
                raise UserError(f"{self._path} has {name!r} as class {index}, {contradicts}; predict again.")
        self.class_names = [one_line(name) for name in self.class_names]

    def _survey(self, decisions: Mapping[str, str]) -> set[tuple[int, str]]:
        """Finds what to leave out and the folder that holds all images; returns (index, name) of the boxes' classes."""
        seen, classes, missing, differences = set(), set(), 0, Differences()
        for number, entry in enumerate(self._entries(), 1):
            file = entry["file"]
            if file in seen or decisions.get(file) == REJECTED:
                self._left_out.add(number)
            else:
                self.count += 1
                if self._labels:  # else `predict` has listed them, if it was given labels
                    differences.add(entry)
            if file not in seen:
                folder = os.path.dirname(os.path.abspath(file))
                self.folder = os.path.commonpath([self.folder or folder, folder])
                missing += not os.path.isfile(on_disk(file))
            seen.add(file)
            classes.update(map(_class, _boxes(entry)))
        differences.log()
        if missing:
            logging.warning(
                "%d of %d images are not found from this folder; start in the one where ornet_tf.predict was started.",
                missing, len(seen),
            )
        if unknown := sorted(decisions.keys() - seen):
            raise UserError(
                f"Expected decisions about files of {self._path}, got one about {unknown[0]!r} ({len(unknown)} unknown "
                "in all); use the decisions of these predictions."
            )
        return classes

    def __iter__(self) -> Iterator[LocalizedImage]:
        first_box = 1
        for number, entry in enumerate(self._entries(), 1):
            boxes = _boxes(entry)
            if number not in self._left_out:
                yield self._image(entry, number, [self._box(box, first_box + i) for i, box in enumerate(boxes)])
            first_box += len(boxes)

    def _image(self, entry: Mapping[str, Any], number: int, boxes: list[Box]) -> LocalizedImage:
        name = os.path.relpath(entry["file"], self.folder)
        kept = tuple(box for box in boxes if not self._min_score or self._is_sure(box))
        return LocalizedImage(entry["file"], one_line(name), number, entry["width"], entry["height"], kept)

    def _is_sure(self, box: Box) -> bool:
        if box.score is None:
            raise UserError(f"{self._path} has boxes without a score: export the model again, or omit --min_score.")
        return box.score >= self._min_score

    def _box(self, box: Mapping[str, Any], number: int) -> Box:
        index, name = _class(box)
        return Box(tuple(box["box"]), index, one_line(name), box.get("box_score"), number)

    def _entries(self) -> Iterator[dict[str, Any]]:
        """Yields the entries; both files have one in each line. A truncated last line of a killed run is left out."""
        is_list = self._path.endswith(prediction_files.LIST)
        with open(self._path, encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, 1):
                text = line.strip()
                if is_list and text in ("[", "]"):
                    continue
                if not is_list and not line.endswith("\n"):
                    return
                entry = self._checked(text.removesuffix(",") if is_list else text, number)
                yield self._labels.apply(entry) if self._labels else entry

    def _checked(self, text: str, number: int) -> dict[str, Any]:
        try:
            entry = json.loads(text)
            is_valid = isinstance(entry, dict) and isinstance(entry["file"], str)
            is_valid = is_valid and all(_are_corners(box["box"]) and _has_class(box) for box in _boxes(entry))
        except (ValueError, KeyError, TypeError):
            is_valid = False
        if not is_valid:
            expected = "expected an entry that ornet_tf.predict wrote"
            raise UserError(f"{self._path}, line {number}: {expected}, got {text[:80]!r}; predict again.")
        if not all(isinstance(entry.get(side), int) for side in ("width", "height")):
            raise UserError(
                f"{self._path}, line {number}: expected width and height of {entry['file']!r}; these predictions "
                "are of an earlier version, so predict again."
            )
        return entry


def _boxes(entry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Returns the objects of an entry, each with `box` and perhaps `box_score`, `class` and `class_name`."""
    return [] if entry["box"] is None else [entry, *entry.get("others", [])]


def _are_corners(value: Any) -> bool:
    return len(value) == 4 and all(isinstance(corner, (int, float)) for corner in value)


def _class(box: Mapping[str, Any]) -> tuple[int, str]:
    """Returns the index and the name of a box's class."""
    return box.get("class", 0), box.get("class_name", _NO_CLASS)


def _has_class(box: Mapping[str, Any]) -> bool:
    index, name = _class(box)
    return isinstance(index, int) and index >= 0 and isinstance(name, str)


def read_decisions(path: str) -> dict[str, str]:
    """Reads the decisions of a review: {"decisions": {FILE: "accepted" or "rejected"}}.

    Args:
      path: a JSON file; FILE is the `file` of an entry of the predictions. Other keys are ignored.

    Raises:
      FileNotFoundError: if there is no such file.
      UserError: if it is something else.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path}: no such file; give the one that the page for review downloads.")
    content = run_folder.read_json(path)
    decisions = content.get("decisions") if isinstance(content, dict) else None
    if not isinstance(decisions, dict):
        raise UserError(f"{path}: expected {{'decisions': {{FILE: {ACCEPTED!r} or {REJECTED!r}}}}}, got other JSON.")
    for file, value in decisions.items():
        if value not in (ACCEPTED, REJECTED):
            raise UserError(f"{path}: expected {ACCEPTED!r} or {REJECTED!r} for {file!r}, got {value!r}.")
    return decisions
