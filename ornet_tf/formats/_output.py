"""The folder of a format: all its files are made aside, and take the place of those of an earlier run at the end.

    .written    the names of the files that runs have written here; no other file is replaced or removed
    .partial    the files of a run that has not finished

An error or a signal leaves the earlier files as they are. Only one process at a time may write to a folder.
"""
from __future__ import annotations

import contextlib
import json
import os
import posixpath
import shutil
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

from ornet_tf import atomic_write, paths
from ornet_tf.errors import UserError

_WRITTEN, _PARTIAL = ".written", ".partial"


class Output:
    """Takes the files of one run; made by `writing`.

    Attributes:
      aside: the folder for temporary files, on the file system of the output.
    """

    def __init__(self, folder: str):
        self._folder = folder
        self.aside = os.path.join(folder, _PARTIAL)
        self._names: dict[str, None] = {}  # a set in the order of writing

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[TextIO]:
        """Opens a text file in UTF-8 for writing; lines end as they are written.

        Args:
          name: its path below the folder, with slashes.

        Raises:
          OSError: if it can't be written.
        """
        with open(self._place_for(name), "w", encoding="utf-8", newline="") as file:
            yield file

    def link(self, name: str, target: str) -> None:
        """Makes a symbolic link.

        Args:
          name: its path below the folder, with slashes.
          target: what it leads to: a path that is absolute or relative to the current folder. It need not exist.

        Raises:
          OSError: if it can't be made.
        """
        os.symlink(os.path.abspath(target), self._place_for(name))

    def _place_for(self, name: str) -> str:
        place = os.path.join(self.aside, name)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        self._names[name] = None
        return place

    def start(self) -> None:
        """Makes the folders, and removes what a run that was killed has left aside."""
        os.makedirs(self._folder, exist_ok=True)
        self.discard()
        os.mkdir(self.aside)

    def discard(self) -> None:
        """Removes what is aside."""
        shutil.rmtree(self.aside, ignore_errors=True)

    def finish(self) -> None:
        """Moves the files to their places and removes those of earlier runs that have no successor.

        Raises:
          UserError: if a place is taken by a file that no run has written; nothing is changed then.
        """
        earlier = self._read_earlier()
        for name in self._names:
            if name not in earlier and os.path.lexists(place := os.path.join(self._folder, name)):
                raise UserError(
                    f"{paths.readable(place)} is not a file of an earlier run, so it is not replaced; move it, or "
                    "choose another folder with --output."
                )
        os.sync()  # all at once: waiting for each of 50,000 small files takes minutes
        self._list({**earlier, **self._names})
        for name in self._names:
            place = os.path.join(self._folder, name)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            os.replace(os.path.join(self.aside, name), place)
        for name in earlier:
            if name not in self._names:
                self._remove(name)
        self._list(self._names)

    def _read_earlier(self) -> dict[str, None]:
        """Returns the names of the files that earlier runs have written; names that lead elsewhere are ignored."""
        try:
            with open(os.path.join(self._folder, _WRITTEN), encoding="utf-8", errors="surrogateescape") as file:
                names = [line.rstrip("\n") for line in file]
        except FileNotFoundError:
            return {}
        return {name: None for name in names if name == posixpath.normpath(name) and name[:1] not in ("/", ".")}

    def _list(self, names: Iterable[str]) -> None:
        with atomic_write.open_file(os.path.join(self._folder, _WRITTEN)) as file:
            for name in names:
                file.write(name.encode("utf-8", "surrogateescape") + b"\n")

    def _remove(self, name: str) -> None:
        """Removes a file of an earlier run, and the folders that are empty without it."""
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(self._folder, name))
        while name := posixpath.dirname(name):
            try:
                os.rmdir(os.path.join(self._folder, name))
            except OSError:  # it holds other files
                return


@contextlib.contextmanager
def writing(folder: str) -> Iterator[Output]:
    """Yields the `Output` of a folder, which is created if missing; see above for what happens at the end.

    Raises:
      OSError: if something can't be written; the message says what to do.
      UserError: if the place of a file is taken.
    """
    output = Output(folder)
    with atomic_write.explain_failures(f"{paths.readable(folder)} could not be written"):
        try:
            output.start()
            yield output
            output.finish()
        finally:
            output.discard()


class JsonList:
    """Writes the elements of a JSON list one by one, each in a line, between brackets that the caller writes."""

    def __init__(self, file: TextIO):
        self._file, self._separator = file, "\n"

    def append(self, value: Any) -> None:
        """Writes an element."""
        self._file.write(self._separator + json.dumps(value, ensure_ascii=False))
        self._separator = ",\n"


class Stems:
    """Gives each image a name without ending that no other image has, whatever the case of its letters."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def add(self, name: str) -> str:
        """Returns the name without its ending; for `a.png` after `a.jpg`, `a_2`."""
        stem = free = posixpath.splitext(name)[0]
        number = 1
        while free.casefold() in self._taken:
            number += 1
            free = f"{stem}_{number}"
        self._taken.add(free.casefold())
        return free
