"""Checks and converts paths that users give."""
from __future__ import annotations

import os
import pathlib
import re

from ornet_tf.errors import UserError

_LONGEST_NAME = 140  # bytes; file systems hold 255, encrypted ones 143


def local(path: str | os.PathLike, what: str) -> pathlib.Path:
    """Returns the absolute path of a file or folder on this machine, with `~` replaced by the home folder.

    Args:
      path: the path as the user gave it.
      what: the option or flag that holds the path, for error messages.

    Raises:
      UserError: if it is not a path, is empty (an unset variable), starts with `~` and an unknown user, or is a URL. A
        URL would otherwise create a folder of that name.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise UserError(f"{what}: expected a path, got {path!r}.")
    text = os.fspath(path)
    if not text.strip():
        raise UserError(f"{what}: expected a path, got an empty string; is a variable unset? Use . for this folder.")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/", text):
        raise UserError(f"{what}: expected a path of this machine, got {text!r}. URLs are not supported.")
    return pathlib.Path(expand_home(text, what)).absolute()


def expand_home(path: str, what: str) -> str:
    """Returns a path with `~` or `~user` replaced by the home folder.

    Args:
      path: the path as the user gave it; it may be a URL.
      what: the option or flag that holds the path, for error messages.

    Raises:
      UserError: if there is no such user. The path would otherwise name a folder in the current one.
    """
    expanded = os.path.expanduser(path)
    if expanded.startswith("~"):
        name = expanded.split("/")[0]
        raise UserError(
            f"{what}: expected a path, got {path!r}, but there is no user {name[1:]!r}. Write ./{name} for a folder "
            "of that name."
        )
    return expanded


def readable(path: str | os.PathLike) -> str:
    r"""Returns a path as valid UTF-8 text. Bytes that are not UTF-8, as in old archives, become \xNN.

    Python represents such bytes by lone surrogates, which JSON readers may refuse.
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def file_name(stem: str, ending: str) -> str:
    """Returns stem + ending as a valid file name: UTF-8, with the stem shortened where the name would be too long.

    Args:
      stem: the beginning of the name, without a slash.
      ending: the end of the name, such as "_box.png".
    """
    text = os.fsencode(stem).decode("utf-8", "replace").encode()
    return text[: _LONGEST_NAME - len(ending.encode())].decode("utf-8", "ignore") + ending
