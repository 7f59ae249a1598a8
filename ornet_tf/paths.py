"""Paths that users give: folders and files of this machine."""
from __future__ import annotations

import os
import pathlib
import re

from ornet_tf.errors import UserError


def local(path: str | os.PathLike, what: str) -> pathlib.Path:
    """Returns the absolute path of a file or folder, `~` replaced by the home folder.

    Args:
      path: as the user gave it.
      what: the option or flag that holds it, for the message.

    Raises:
      UserError: if it is no path, is empty, as an unset variable is, or is a URL, which would be taken for a folder of
        that name.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise UserError(f"{what}: expected a path, got {path!r}.")
    text = os.fspath(path)
    if not text.strip():
        raise UserError(f"{what}: expected a path, got an empty text; is a variable unset? The current folder is '.'.")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/", text):
        raise UserError(f"{what}: expected a path of this machine, got {text!r}; URLs are not supported, mount it.")
    return pathlib.Path(text).expanduser().absolute()
