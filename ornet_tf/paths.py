"""Paths that users give: folders and files of this machine."""
from __future__ import annotations

import os
import pathlib
import re

from ornet_tf.errors import UserError

_LONGEST_NAME = 140  # bytes; file systems hold 255, encrypted ones 143


def local(path: str | os.PathLike, what: str) -> pathlib.Path:
    """Returns the absolute path of a file or folder, `~` replaced by the home folder.

    Args:
      path: as the user gave it.
      what: the option or flag that holds it, for the message.

    Raises:
      UserError: if it is no path, is empty, as an unset variable is, begins with the name of no user, or is a URL,
        which would be taken for a folder of that name.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise UserError(f"{what}: expected a path, got {path!r}.")
    text = os.fspath(path)
    if not text.strip():
        raise UserError(f"{what}: expected a path, got an empty text; is a variable unset? The current folder is '.'.")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/", text):
        raise UserError(f"{what}: expected a path of this machine, got {text!r}; URLs are not supported, mount it.")
    return pathlib.Path(at_home(text, what)).absolute()


def at_home(path: str, what: str) -> str:
    """Returns a path whose `~` or `~user` is replaced by the home folder.

    Args:
      path: as the user gave it, also a URL.
      what: the option or flag that holds it, for the message.

    Raises:
      UserError: if nobody has that name: the path would be taken for a folder of it.
    """
    expanded = os.path.expanduser(path)
    if expanded.startswith("~"):
        name = expanded.split("/")[0]
        raise UserError(f"{what}: expected a path, got {path!r}; {name} is nobody's home. A folder {name} is ./{name}.")
    return expanded


def readable(path: str | os.PathLike) -> str:
    r"""Returns a path as text that UTF-8 can hold: bytes of its name that are none, as old archives have, become \xNN.

    Python itself stands for such bytes by halves of surrogate pairs, which no JSON reader has to take.
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def file_name(stem: str, ending: str) -> str:
    """Returns stem + ending as a name that every file system takes: UTF-8, the stem cut to what it may hold.

    Args:
      stem: of another file, perhaps; it has no slash.
      ending: what the name must end with.
    """
    text = os.fsencode(stem).decode("utf-8", "replace").encode()
    return text[: _LONGEST_NAME - len(ending.encode())].decode("utf-8", "ignore") + ending
