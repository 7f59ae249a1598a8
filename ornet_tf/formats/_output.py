"""The folder of a format: all its files are made aside, and take the place of those of an earlier run at the end.

    .written    what runs have written here, as lines of `link` or `file`, a tab and a name
    .partial    the files of a run that has not finished

Only what `.written` lists is replaced or removed, and only while it is still of the kind that was written: a link that
a person has replaced by a file stays. A folder below the output that is a link is refused: it leads to files of others.

The folder is locked against other programs. Until the first file is moved, an error or a signal leaves the earlier
files as they are. While files are moved, SIGINT and SIGTERM wait. Only a kill, a power failure or an error of the disk
in that moment leaves files of both runs; `.written` then lists all of them, and the next run replaces or removes them.
"""
from __future__ import annotations

import contextlib
import errno
import json
import os
import posixpath
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TextIO

from ornet_tf import atomic_write, paths
from ornet_tf.errors import UserError
from ornet_tf.formats import _protection

_WRITTEN, _PARTIAL = ".written", ".partial"
_MIXED = "; until then it has files of this run and of the one before"
_LINK, _FILE = "link", "file"  # the kinds of what is written


class Output:
    """Takes the files of one run; made by `writing`.

    Attributes:
      aside: the folder for temporary files, on the file system of the output.
    """

    def __init__(self, folder: str):
        self._folder = folder
        self.aside = os.path.join(folder, _PARTIAL)
        self._kinds: dict[str, str] = {}  # of each name, in the order of writing
        self._earlier: dict[str, str] = {}  # the same of earlier runs

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[TextIO]:
        """Opens a text file in UTF-8 for writing; lines end as they are written.

        Args:
          name: its path below the folder, with slashes.

        Raises:
          OSError: if it can't be written.
          UserError: if its name is too long for the file system; the same holds for `link`.
        """
        with _naming(name):
            file = open(self._place_for(name, _FILE), "w", encoding="utf-8", newline="")  # noqa: SIM115 - closed below
        with file:
            yield file

    def link(self, name: str, target: str) -> None:
        """Makes a symbolic link.

        Args:
          name: its path below the folder, with slashes.
          target: what it leads to: a path that is absolute or relative to the current folder. It need not exist.

        Raises:
          OSError: if it can't be made.
        """
        with _naming(name):
            os.symlink(os.path.abspath(target), self._place_for(name, _LINK))

    def _place_for(self, name: str, kind: str) -> str:
        place = os.path.join(self.aside, name)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        self._kinds[name] = kind
        return place

    def start(self) -> None:
        """Makes the folder for temporary files, and removes what a run that was killed has left there."""
        self.discard()
        os.mkdir(self.aside)

    def discard(self) -> None:
        """Removes what is aside."""
        shutil.rmtree(self.aside, ignore_errors=True)

    def prepare(self) -> None:
        """Does all of what can fail before the first file is moved: checks, folders, and waiting for the disk.

        Raises:
          UserError: if a place is taken by what no run has written, or a folder is a link.
        """
        self._earlier = self._read_earlier()
        self._check_folders({**self._earlier, **self._kinds})
        self._check_places()
        for parent in {posixpath.dirname(name) for name in self._kinds}:
            os.makedirs(os.path.join(self._folder, parent), exist_ok=True)
        os.sync()  # all at once: waiting for each of 50,000 small files takes minutes
        self._list({**self._earlier, **self._kinds})

    def move(self) -> None:
        """Moves the files to their places and removes those of earlier runs that have no successor."""
        for name in self._kinds:
            os.replace(os.path.join(self.aside, name), os.path.join(self._folder, name))
        for name, kind in self._earlier.items():
            if name not in self._kinds and _kind(os.path.join(self._folder, name)) == kind:
                self._remove(name)
        self._list(self._kinds)
        self.discard()

    def _check_folders(self, names: Iterable[str]) -> None:
        """Refuses folders below the output that are links or files."""
        for parent in sorted({parent for name in names for parent in _parents(name)}):  # outer ones before inner ones
            place = os.path.join(self._folder, parent)
            if os.path.islink(place) or (os.path.lexists(place) and not os.path.isdir(place)):
                raise UserError(
                    f"{paths.readable(place)} is not a folder but a link or a file, so nothing is written there; move "
                    "it, or choose another folder with --output."
                )

    def _check_places(self) -> None:
        """Refuses to replace what no run has written."""
        for name in self._kinds:
            kind = _kind(place := os.path.join(self._folder, name))
            if kind and kind != self._earlier.get(name):
                raise UserError(
                    f"{paths.readable(place)} is not a file of an earlier run, so it is not replaced; move it, or "
                    "choose another folder with --output."
                )

    def _read_earlier(self) -> dict[str, str]:
        """Returns the names and kinds of what earlier runs have written; names that lead elsewhere are ignored."""
        try:
            with open(os.path.join(self._folder, _WRITTEN), encoding="utf-8", errors="surrogateescape") as file:
                lines = [line.rstrip("\n").partition("\t") for line in file]
        except FileNotFoundError:
            return {}
        safe = (line for line in lines if line[2] == posixpath.normpath(line[2]) and line[2][:1] not in ("/", "."))
        return {name: kind for kind, _, name in safe}

    def _list(self, kinds: Mapping[str, str]) -> None:
        with atomic_write.open_file(os.path.join(self._folder, _WRITTEN)) as file:
            for name, kind in kinds.items():
                file.write(f"{kind}\t{name}\n".encode("utf-8", "surrogateescape"))

    def _remove(self, name: str) -> None:
        """Removes a file of an earlier run, and the folders that are empty without it."""
        os.remove(os.path.join(self._folder, name))
        for parent in _parents(name):
            try:
                os.rmdir(os.path.join(self._folder, parent))
            except OSError:  # it holds other files
                return


@contextlib.contextmanager
def _naming(name: str) -> Iterator[None]:
    """Says which name is too long."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise UserError(
            f"Expected names that the file system can hold, but {name} is too long; rename the image, or choose a "
            "shorter --output."
        ) from error


def _parents(name: str) -> Iterator[str]:
    """Yields the folders that a name lies in, the innermost first."""
    while name := posixpath.dirname(name):
        yield name


def _kind(place: str) -> str:
    """Returns the kind of what lies at a place; "" if nothing does."""
    try:
        mode = os.lstat(place).st_mode
    except FileNotFoundError:
        return ""
    return _LINK if stat.S_ISLNK(mode) else _FILE if stat.S_ISREG(mode) else "other"


@contextlib.contextmanager
def writing(folder: str) -> Iterator[Output]:
    """Yields the `Output` of a folder, which is created if missing; see above for what happens at the end.

    Raises:
      OSError: if something can't be written; the message says what to do.
      UserError: if the place of a file is taken, or another program writes to the folder.
    """
    output, failure = Output(folder), f"{paths.readable(folder)} could not be written"
    with contextlib.ExitStack() as stack:
        with atomic_write.explain_failures(failure):
            os.makedirs(folder, exist_ok=True)
            stack.enter_context(_protection.locked(folder))
        stack.callback(output.discard)  # only now: before, it would remove the files of another program
        with atomic_write.explain_failures(failure):
            output.start()
            yield output
            output.prepare()
        with _protection.signals_held_off(), atomic_write.explain_failures(failure, _MIXED):
            output.move()


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
        """Returns the name without its ending; for `a.png` after `a.jpg`, `a_2`, shortened if it would be too long."""
        free, ending = posixpath.splitext(name)
        folder, stem = posixpath.split(free)
        number = 1
        while free.casefold() in self._taken:
            number += 1
            last = paths.file_name(stem, f"_{number}{ending}").removesuffix(ending)
            free = posixpath.join(folder, last)
        self._taken.add(free.casefold())
        return free
