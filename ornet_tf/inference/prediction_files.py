"""The folder of predictions: overlays and results. They are complete up to the last image, however the program ends.

    predictions.jsonl     while the program runs: one line per finished image; it remains if the program is killed
    predictions.json      the same entries as a list, written at the end, also after an error or a signal
    .class_names.json     the names of all classes, if they are known
    00000_NAME.jpg        the overlays
    index.html            shows them for review in a browser, written after predictions.json

No entry of a run stays in memory, so the number of images is not limited by it.
"""
from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

from absl import logging

from ornet_tf import atomic_write, paths
from ornet_tf.errors import UserError
from ornet_tf.inference import review_page
from ornet_tf.runs import run_folder

LIST, LINES, CLASS_NAMES = "predictions.json", "predictions.jsonl", ".class_names.json"
_PARTIAL = ".overlay.partial"
_OVERLAY = re.compile(r"\d{5,}_[^/]*\.(jpg|png)")  # earlier versions wrote PNGs


class Predictions:
    """Writes the results of one program run; created by `writing`.

    Attributes:
      count: how many entries are written.
      path: the path of predictions.json.
    """

    def __init__(self, folder: str, class_names: Sequence[str] | None = None):
        """Writes nothing yet: the first finished image replaces the results of an earlier run."""
        self._folder, self._class_names = folder, class_names
        self._lines: TextIO | None = None
        self.count = 0
        self.path = os.path.join(folder, LIST)

    @property
    def has_begun(self) -> bool:
        """Whether the results of an earlier run have been replaced."""
        return self._lines is not None

    def add(self, path: str, entry: dict[str, Any], overlay: bytes) -> dict[str, Any]:
        """Writes the overlay of an image, and its entry with the path of the overlay as `overlay`.

        Args:
          path: the path of the image.
          entry: the result, serializable as JSON.
          overlay: a JPEG.

        Returns:
          The entry that was written.

        Raises:
          OSError: if it can't be written; earlier entries remain.
        """
        partial, target, is_listed = os.path.join(self._folder, _PARTIAL), "", False
        remaining = f"; {self.describe_remaining()}" if self.has_begun else ""
        failure = f"The overlay of {paths.readable(path)} could not be written to {self._folder}"
        with atomic_write.explain_failures(failure, remaining):
            try:
                os.makedirs(self._folder, exist_ok=True)
                with open(partial, "wb") as file:
                    file.write(overlay)
                self._begin()  # only now: if the first overlay can't be written, the earlier results remain
                target = self._free_path(path)
                os.replace(partial, target)
                entry = {**entry, "overlay": paths.readable(target)}
                self._lines.write(json.dumps(entry) + "\n")
                self._lines.flush()
                is_listed = True
                self.count += 1
            except BaseException:
                for left in (partial, target):
                    if left and not is_listed:
                        _remove(left)
                raise
        return entry

    def finish(self) -> None:
        """Writes predictions.json, then the page for review.

        Raises:
          OSError: if one can't be written; predictions.jsonl remains.
        """
        self._begin()
        with contextlib.suppress(OSError):  # on a full disk, a partial line may be in the buffer
            self._lines.close()
        path = os.path.join(self._folder, LINES)
        with atomic_write.open_file(self.path) as target, open(path, "rb") as lines:
            target.write(b"[")
            for number, line in enumerate(itertools.islice(lines, self.count)):
                target.write((b",\n" if number else b"\n") + line.rstrip())
            target.write(b"\n]\n")
        with open(path, "rb") as lines:
            page = review_page.write(self._folder, itertools.islice(lines, self.count))
        logging.info("%s shows the results in a browser, for review.", paths.readable(page))
        _remove(path)

    def _begin(self) -> None:
        """Removes the files that the lists of earlier runs name, on the first call; other files remain."""
        if self.has_begun:
            return
        lines = os.path.join(self._folder, LINES)
        with atomic_write.explain_failures(f"{paths.readable(self._folder)} could not be written", ""):
            os.makedirs(self._folder, exist_ok=True)
            # The lists are removed last, so that a list still names the remaining overlays if the program is killed.
            for name in _earlier_overlays(self._folder):
                _remove(os.path.join(self._folder, name))
            review_page.remove(self._folder)
            _remove(self.path)
            self._list_classes()
            self._lines = open(lines, "w", encoding="utf-8")  # noqa: SIM115 - `finish` closes it

    def _list_classes(self) -> None:
        path = os.path.join(self._folder, CLASS_NAMES)
        if self._class_names is None:
            _remove(path)  # it would name the classes of an earlier run
        else:
            run_folder.write_json(path, list(self._class_names))

    def _free_path(self, path: str) -> str:
        """Returns a path for an image's overlay at which no file exists."""
        stem, number = os.path.splitext(os.path.basename(path))[0], 1
        while True:
            ending = ".jpg" if number == 1 else f"_{number}.jpg"
            place = os.path.join(self._folder, paths.file_name(f"{self.count:05d}_{stem}", ending))
            if not os.path.lexists(place):
                return place
            number += 1

    def describe_remaining(self) -> str:
        """Returns the end of the message about a program that stops early: which results remain."""
        several = f"results of the {self.count} images before it remain"
        results = "result of the image before it remains" if self.count == 1 else several
        return f"the {results} in {paths.readable(self._folder)}"


def without_overlays(paths: Sequence[str], folder: str) -> list[str]:
    """Returns the images without the overlays of an earlier run in `folder`, which the next run there replaces.

    Raises:
      UserError: if no image is left.
    """
    overlays = {os.path.realpath(os.path.join(folder, name)) for name in _earlier_overlays(folder)}
    kept = [path for path in paths if os.path.realpath(path) not in overlays]
    if paths and not kept:
        raise UserError(f"All images are overlays in {folder}, which this run replaces; copy them elsewhere.")
    if len(kept) < len(paths):
        logging.warning("Overlays in %s are skipped (%d): this run replaces them.", folder, len(paths) - len(kept))
    return kept


@contextlib.contextmanager
def writing(folder: str, class_names: Sequence[str] | None = None) -> Iterator[Predictions]:
    """Yields the `Predictions` of a folder; writes predictions.json at the end, also after an error or a signal.

    The results of an earlier run are removed when the first image is added, or at the end. Only one process at a time
    may write to a folder.
    """
    predictions = Predictions(folder, class_names)
    try:
        yield predictions
    except BaseException:
        if predictions.has_begun:
            with contextlib.suppress(OSError):  # for example a full disk; predictions.jsonl remains
                predictions.finish()
        remaining = predictions.describe_remaining() if predictions.has_begun else f"{folder} is unchanged"
        logging.info("Stopped early: %s.", remaining)
        raise
    predictions.finish()


def _earlier_overlays(folder: str) -> list[str]:
    """Returns the file names of the overlays in the lists of earlier runs."""
    entries = _read_list(os.path.join(folder, LIST)) + _read_lines(os.path.join(folder, LINES))
    return _overlays(entries)


def _overlays(entries: list[Any]) -> list[str]:
    """Returns the file names of the overlays in the entries of an earlier run."""
    places = [entry.get("overlay") for entry in entries if isinstance(entry, dict)]
    names = [os.path.basename(place) for place in places if isinstance(place, str)]
    return [name for name in names if _OVERLAY.fullmatch(name)]


def _read_list(path: str) -> list[Any]:
    try:
        found = run_folder.read_json(path) if os.path.exists(path) else []
    except UserError as error:
        logging.warning("The list of an earlier run is damaged, so its overlays are not removed: %s", error)
        return []
    return found if isinstance(found, list) else []


def _read_lines(path: str) -> list[Any]:
    """Returns the entries of a killed run, without a truncated last line."""
    entries = []
    if os.path.exists(path):
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                with contextlib.suppress(ValueError):
                    entries.append(json.loads(line))
    return entries


def _remove(path: str) -> None:
    if os.path.isfile(path) or os.path.islink(path):
        os.remove(path)
