"""Reads what data sets are made of: the lines of listings, the names of images and folders."""
from __future__ import annotations

import collections
import itertools
import os
import pathlib
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ornet_tf import paths
from ornet_tf.data import image_files
from ornet_tf.data.source import SPLITS
from ornet_tf.errors import UserError


def folder(
    path: str | os.PathLike, split: str, *, plugin: str, layout: str, option: str = "root"
) -> pathlib.Path:
    """Returns the absolute path of a data set's folder.

    Args:
      path: the folder.
      split: what was asked for.
      plugin: the data set, for the message.
      layout: what the folder must hold, for the message.
      option: what gave the path, for the message.

    Raises:
      FileNotFoundError: if there is no such folder.
      UserError: for an unknown split, an empty path or a URL.
    """
    if split not in SPLITS:
        raise UserError(f"{plugin}: expected split to be one of {', '.join(SPLITS)}, got {split!r}.")
    root = paths.local(path, f"{plugin}: {option}")
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder; expected {layout}.")
    return root


def lines(path: pathlib.Path, *, layout: str) -> list[tuple[int, str]]:
    """Returns (number, text) of each line that is not blank, without the spaces around it.

    Args:
      path: a file in UTF-8, with or without a byte order mark, with line ends of any system.
      layout: what is expected there, for the message.

    Raises:
      FileNotFoundError: if the file is missing.
      UserError: if it is not UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file; expected {layout}.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: expected UTF-8 text: {error}.") from None
    stripped = [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1)]
    return [(number, line) for number, line in stripped if line]


def find(path: str | os.PathLike, *, depth: int | None = None) -> image_files.Found:
    """Returns what `image_files.find` finds, if all folders can be read: a part of a data set is another data set.

    Raises:
      OSError: if the folder itself can't be read.
      UserError: if one below can't be read.
    """
    found = image_files.find(path, depth=depth)
    if found.unreadable:
        name, reason = found.unreadable[0]
        others = f", as {len(found.unreadable) - 1} others," if len(found.unreadable) > 1 else ""
        raise UserError(
            f"{paths.readable(os.path.join(path, name))}: the folder{others} can't be read: {reason}; make it readable "
            "for this user, or move it out of the data set."
        )
    return found


def list_images(path: str | os.PathLike, *, folders: bool = False) -> list[str]:
    """Returns the sorted names of the JPEG and PNG files directly in a folder, or in the folders directly below it.

    Args:
      path: the folder.
      folders: whether to look into the folders below instead; their names stand before a slash.

    Raises:
      OSError: if the folder can't be read.
      UserError: if one below can't be read.
    """
    images = find(path, depth=1 if folders else 0).images
    return sorted(name for name in images if ("/" in name) == folders)


def below(file: str, folder: pathlib.Path, where: str) -> str:
    """Returns the path below a folder of a file that a list names, without `.` and `..`.

    Args:
      file: relative to the folder, or absolute.
      folder: an absolute path.
      where: the list and its line, for the message.

    Raises:
      UserError: if the file does not lie below the folder.
    """
    if os.path.isabs(file):
        names = itertools.chain([os.path.relpath(file, folder)], through_links(file, folder))
    else:
        names = [posixpath.normpath(file)]
    name = next((name for name in names if name not in (".", "..") and not name.startswith("../")), None)
    if name is None:
        raise UserError(f"{where}: expected a file below {folder}, or its path relative to that folder, got {file!r}.")
    return name


def through_links(file: str, folder: str | os.PathLike) -> Iterator[str]:
    """Yields what an absolute path may be below a folder that it reaches through other links than the folder's path.

    The links of the path are followed part by part from its start, so that those in the folder stay in the name.
    """
    if "\0" in file:  # no path at all
        return
    real, whole = os.path.realpath(folder), pathlib.PurePath(file)
    for start in (*reversed(whole.parents), whole):
        yield os.path.relpath(os.path.join(os.path.realpath(start), whole.relative_to(start)), real)


def expect_once(names: Iterable[str], where: str) -> None:
    """Raises UserError, which begins with `where`, if a name is there twice."""
    twice = next((name for name, count in collections.Counter(names).items() if count > 1), None)
    if twice is not None:
        raise UserError(f"{where}: expected each image once, got {twice!r} again.")


def boxes(names: Sequence[str], known: Mapping[str, Any]) -> list[np.ndarray]:
    """Returns float32 [M, 4] for each name, M = 0 for those that are not `known`."""
    return [np.asarray(known.get(name, ()), np.float32).reshape(-1, 4) for name in names]
