"""The folder of predictions: overlays and what was found, there as far as a run has come, however it ends.

    predictions.jsonl     while a run goes on: a line for each image as soon as it is done; a killed run leaves it
    predictions.json      the same in a list, written when the run ends, also by an error or a signal
    00000_NAME.png        the overlays
"""
from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

from absl import logging
from PIL import Image

from ornet_tf import atomic_write, paths
from ornet_tf.errors import UserError
from ornet_tf.runs import run_folder

_LIST, _LINES, _ASIDE = "predictions.json", "predictions.jsonl", ".overlay.partial"
_OVERLAY = re.compile(r"\d{5,}_[^/]*\.png")


class Predictions:
    """What a run has found; made by `writing`.

    Attributes:
      entries: one dictionary per image, in order.
      path: of predictions.json.
    """

    def __init__(self, folder: str):
        """Touches nothing: the first image that is done replaces what an earlier run left."""
        self._folder = folder
        self._lines: TextIO | None = None
        self.entries: list[dict[str, Any]] = []
        self.path = os.path.join(folder, _LIST)

    @property
    def has_begun(self) -> bool:
        """Whether this run's files have taken the place of those of an earlier run."""
        return self._lines is not None

    def add(self, path: str, entry: dict[str, Any], overlay: Image.Image) -> dict[str, Any]:
        """Writes the overlay of an image, and its entry with the path of the overlay as `overlay`.

        Args:
          path: the path of the image.
          entry: what JSON can hold.
          overlay: an image of any size.

        Returns:
          The entry that was written.

        Raises:
          OSError: if it can't be written; what was added before stays.
        """
        aside, place, is_listed = os.path.join(self._folder, _ASIDE), "", False
        said = f"; {self.said()}" if self.has_begun else ""
        failure = f"The overlay of {paths.readable(path)} could not be written to {self._folder}"
        with atomic_write.explain_failures(failure, said):
            try:
                os.makedirs(self._folder, exist_ok=True)
                overlay.save(aside, "PNG")
                self._begin()  # not before: a first overlay that can't be written costs nothing of an earlier run
                place = self._free_place(path)
                os.replace(aside, place)
                entry = {**entry, "overlay": paths.readable(place)}
                self._lines.write(json.dumps(entry) + "\n")
                self._lines.flush()
                is_listed = True
                self.entries.append(entry)
            except BaseException:
                for left in (aside, place):
                    if left and not is_listed:
                        _remove(left)
                raise
        return entry

    def finish(self) -> None:
        """Writes predictions.json.

        Raises:
          OSError: if it can't be written; predictions.jsonl stays.
        """
        self._begin()
        with contextlib.suppress(OSError):  # half a line on a full disk, which is still in the buffer
            self._lines.close()
        run_folder.write_json(self.path, self.entries)
        _remove(os.path.join(self._folder, _LINES))

    def _begin(self) -> None:
        """Removes what earlier runs wrote, once: what their lists name, whatever else lies there."""
        if self.has_begun:
            return
        lines = os.path.join(self._folder, _LINES)
        with atomic_write.explain_failures(f"{paths.readable(self._folder)} could not be written", ""):
            os.makedirs(self._folder, exist_ok=True)
            # The lists last: as long as there are overlays, a list names them, even if this run is killed here.
            for name in _earlier_overlays(self._folder):
                _remove(os.path.join(self._folder, name))
            _remove(self.path)
            self._lines = open(lines, "w", encoding="utf-8")  # noqa: SIM115 - `finish` closes it

    def _free_place(self, path: str) -> str:
        """Returns where an image's overlay goes: never onto a file that is there, which is none of ours."""
        stem, number = os.path.splitext(os.path.basename(path))[0], 1
        while True:
            ending = ".png" if number == 1 else f"_{number}.png"
            place = os.path.join(self._folder, paths.file_name(f"{len(self.entries):05d}_{stem}", ending))
            if not os.path.lexists(place):
                return place
            number += 1

    def said(self) -> str:
        """Returns, for a sentence, what is there of a run that ends early."""
        return f"the results of the {len(self.entries)} images before it stay in {paths.readable(self._folder)}"


def without_overlays(paths: Sequence[str], folder: str) -> list[str]:
    """Returns the images that are no overlays of an earlier run in `folder`: the next run there replaces those.

    Raises:
      UserError: if no image is left.
    """
    overlays = {os.path.realpath(os.path.join(folder, name)) for name in _earlier_overlays(folder)}
    kept = [path for path in paths if os.path.realpath(path) not in overlays]
    if paths and not kept:
        raise UserError(f"All images are overlays in {folder}, which this run replaces; copy them elsewhere.")
    if len(kept) < len(paths):
        logging.warning("%d overlays in %s are skipped: this run replaces them.", len(paths) - len(kept), folder)
    return kept


@contextlib.contextmanager
def writing(folder: str) -> Iterator[Predictions]:
    """Yields what images are added to; at its end, also by an error or a signal, predictions.json holds them.

    What an earlier run wrote goes when the first image is added, or at the end. A run that dies before leaves all.

    One process at a time may write there.
    """
    predictions = Predictions(folder)
    try:
        yield predictions
    except BaseException:
        if predictions.has_begun:
            with contextlib.suppress(OSError):  # a full disk, perhaps: the lines are there
                predictions.finish()
        logging.info("Ended early: %s.", predictions.said() if predictions.has_begun else f"{folder} is as it was")
        raise
    predictions.finish()


def _earlier_overlays(folder: str) -> list[str]:
    """Returns the names of the overlays that the lists of earlier runs in `folder` name."""
    entries = _read_list(os.path.join(folder, _LIST)) + _read_lines(os.path.join(folder, _LINES))
    return _overlays(entries)


def _overlays(entries: list[Any]) -> list[str]:
    """Returns the names of the overlays that entries of an earlier run tell."""
    places = [entry.get("overlay") for entry in entries if isinstance(entry, dict)]
    names = [os.path.basename(place) for place in places if isinstance(place, str)]
    return [name for name in names if _OVERLAY.fullmatch(name)]


def _read_list(path: str) -> list[Any]:
    try:
        found = run_folder.read_json(path) if os.path.exists(path) else []
    except UserError as error:
        logging.warning("Overlays of an earlier run stay, as their list is damaged: %s", error)
        return []
    return found if isinstance(found, list) else []


def _read_lines(path: str) -> list[Any]:
    """Returns the entries of a run that was killed; the last line may be half a one."""
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
