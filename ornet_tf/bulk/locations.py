"""Files and folders by path or URI: what pyarrow.fs can open, on this machine or in a store."""
from __future__ import annotations

import functools
import glob
import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from pyarrow import fs

from ornet_tf import paths
from ornet_tf.data import image_files
from ornet_tf.errors import UserError

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://([^/]*)")
_WILDCARD = re.compile(r"[*?]")


class Location(NamedTuple):
    """A place in a file system.

    Attributes:
      system: the file system.
      path: the path within it.
      prefix: what stands before a path of this file system in a URI, such as s3://; "" on this machine.
    """

    system: fs.FileSystem
    path: str
    prefix: str

    @property
    def is_local(self) -> bool:
        """Whether it is a path of this machine, or of a folder that machines share."""
        return isinstance(self.system, fs.LocalFileSystem)

    def child(self, name: str) -> Location:
        """Returns the location of an entry of this folder."""
        return self._replace(path=f"{self.path.rstrip('/')}/{name}")

    def uri(self) -> str:
        """Returns the absolute path, or the URI, by which `locate` finds it again."""
        return self.prefix + self.path


def locate(text: str, what: str) -> Location:
    """Returns the location that a path or a URI means; credentials are those of the file system.

    Args:
      text: a path of this machine, also as file:///PATH; or a URI that pyarrow.fs.FileSystem.from_uri knows, such as
        s3://, gs://, hdfs://, abfs://, and fsspec+SCHEME:// for a file system of fsspec.
      what: the option or flag that holds it, for error messages.

    Raises:
      UserError: if it is empty, or no file system is found for it.
    """
    root = _URI.match(text)
    if not root:
        return Location(fs.LocalFileSystem(), os.fspath(paths.local(text, what)), "")
    try:
        if root[1] == "file":
            return Location(*fs.FileSystem.from_uri(text), "")
        system, prefix = _store(root[0])
    except (OSError, ValueError, ImportError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"{what}: expected a path or a URI of a file system that is reached from here, got {text!r}: {reason}."
        ) from None
    return Location(system, text[len(prefix) :], prefix)


@functools.lru_cache
def _store(root: str) -> tuple[fs.FileSystem, str]:
    """Returns the file system of SCHEME://HOST, and what stands before its paths; connecting takes a second."""
    system, path = fs.FileSystem.from_uri(f"{root}/")
    return system, root.removesuffix(path.rstrip("/"))


def list_folder(folder: Location) -> list[str]:
    """Returns the paths of all files below a folder, sorted; see `image_files.find` for what is skipped.

    Raises:
      OSError: if the folder, or one below it, can't be read.
    """
    if folder.is_local:
        tree = image_files.find(folder.path)
        if tree.unreadable:
            name, reason = tree.unreadable[0]
            raise OSError(f"Cannot read the folder {os.path.join(folder.path, name)}: {reason}.")
        return sorted(os.path.join(folder.path, name) for name in (*tree.images, *tree.others))
    infos = folder.system.get_file_info(fs.FileSelector(folder.path, recursive=True))
    below = len(folder.path.rstrip("/")) + 1
    names = [info.path for info in infos if info.type == fs.FileType.File]
    return sorted(name for name in names if not re.search(r"(^|/)\.", name[below:]))


def has_wildcard(text: str) -> bool:
    """Returns whether a path or a URI is a pattern."""
    return _WILDCARD.search(text) is not None


def match(pattern: Location) -> list[str]:
    """Returns the paths of the files that a pattern fits, sorted: `*` and `?` stay inside a folder, `**/` is any depth.

    Raises:
      OSError: if a folder of a store can't be listed.
    """
    if pattern.is_local:
        return sorted(path for path in glob.iglob(pattern.path, recursive=True) if os.path.isfile(path))
    fixed = pattern.path[: _WILDCARD.search(pattern.path).start()].rpartition("/")[0]
    expression = "".join(
        {"**/": "(?:[^/]+/)*", "*": "[^/]*", "?": "[^/]"}.get(part, re.escape(part))
        for part in re.split(r"(\*\*/|\*|\?)", pattern.path)
    )
    found = pattern.system.get_file_info(fs.FileSelector(fixed, recursive=True))
    return sorted(i.path for i in found if i.type == fs.FileType.File and re.fullmatch(expression, i.path))


def sizes(system: fs.FileSystem, names: Sequence[str]) -> list[int]:
    """Returns the sizes of files in bytes; -1 for what is not there or no file."""
    infos = system.get_file_info(list(names))
    return [info.size if info.type == fs.FileType.File else -1 for info in infos]
