"""Reads the files and folders of data sets: the lines of lists, the names of images and folders."""
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


def check_folder(
    path: str | os.PathLike, split: str, *, plugin: str, layout: str, option: str = "root"
) -> pathlib.Path:
    """Checks the name of a split and the folder of a data set; returns the absolute path of the folder.

    Args:
      path: the folder.
      split: the name of the split.
      plugin: the name of the data set plug-in, for the message.
      layout: the expected content of the folder, for the message.
      option: the option that gave the path, for the message.

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


def read_lines(path: pathlib.Path, *, layout: str) -> list[tuple[int, str]]:
    """Returns (number, text) of each line that is not blank, without the spaces around it.

    Args:
      path: a file in UTF-8, with or without a byte order mark, with line ends of any system.
      layout: the expected file or folder layout, for the message.

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


def find(path: str | os.PathLike, *, depth: int | None = None) -> image_files.Tree:
    """Returns the result of `image_files.find`; an unreadable folder is an error, because images would be missing.

    Raises:
      OSError: if `path` itself can't be read.
      UserError: if a folder below `path` can't be read.
    """
    tree = image_files.find(path, depth=depth)
    if tree.unreadable:
        name, reason = tree.unreadable[0]
        others = f" and {len(tree.unreadable) - 1} others" if len(tree.unreadable) > 1 else ""
        raise UserError(
            f"{paths.readable(os.path.join(path, name))}: expected a readable folder, got: {reason}{others}. Make it "
            "readable for this user, or move it out of the data set."
        )
    return tree


def list_images(path: str | os.PathLike, *, folders: bool = False) -> list[str]:
    """Returns the sorted names of the JPEG and PNG files in a folder, or in its subfolders.

    Args:
      path: the folder.
      folders: whether to list the images in the subfolders instead, as '<subfolder>/<file>'.

    Raises:
      OSError: if the folder can't be read.
      UserError: if a subfolder can't be read.
    """
    images = find(path, depth=1 if folders else 0).images
    return sorted(name for name in images if ("/" in name) == folders)


def relative_path(file: str, folder: pathlib.Path, where: str) -> str:
    """Returns the path of a file relative to a folder, without `.` and `..`.

    Args:
      file: an absolute path, or one relative to the folder.
      folder: an absolute path.
      where: the list and the line that name the file, for the message.

    Raises:
      UserError: if the file is not below the folder.
    """
    if os.path.isabs(file):
        names = itertools.chain([os.path.relpath(file, folder)], resolve_links(file, folder))
    else:
        names = [posixpath.normpath(file)]
    name = next((name for name in names if name not in (".", "..") and not name.startswith("../")), None)
    if name is None:
        raise UserError(f"{where}: expected a file below {folder}, or its path relative to that folder, got {file!r}.")
    return name


def resolve_links(file: str, folder: str | os.PathLike) -> Iterator[str]:
    """Yields possible paths, relative to a folder, of a file whose absolute path leads to the folder through links.

    Only the start of the path is resolved, one part more each time, so that links below the folder stay in the result.
    """
    if "\0" in file:  # not a valid path
        return
    real, whole = os.path.realpath(folder), pathlib.PurePath(file)
    for start in (*reversed(whole.parents), whole):
        yield os.path.relpath(os.path.join(os.path.realpath(start), whole.relative_to(start)), real)


def check_unique(names: Iterable[str], where: str) -> None:
    """Raises UserError, with a message that begins with `where`, if a name occurs twice."""
    twice = next((name for name, count in collections.Counter(names).items() if count > 1), None)
    if twice is not None:
        raise UserError(f"{where}: expected each image once, got {twice!r} again.")


def select_boxes(names: Sequence[str], boxes: Mapping[str, Any]) -> list[np.ndarray]:
    """Returns float32 [M, 4] for each image name; M = 0 for names without boxes."""
    return [np.asarray(boxes.get(name, ()), np.float32).reshape(-1, 4) for name in names]
