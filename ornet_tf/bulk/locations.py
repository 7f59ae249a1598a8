"""Files and folders by path or URI: what pyarrow.fs can open, on this machine or in a store."""
from __future__ import annotations

import functools
import itertools
import os
import re
import stat
import urllib.parse
from collections.abc import Callable, Sequence
from typing import BinaryIO, NamedTuple

from pyarrow import fs

from ornet_tf import paths
from ornet_tf.bulk import fsspec_store
from ornet_tf.data import image_files
from ornet_tf.errors import UserError

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://([^/]*)")
_WEB = re.compile(r"(fsspec\+)?https?", re.I)
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

    def open(self) -> BinaryIO:
        """Opens the file to read its bytes; on this machine its name may be no UTF-8, which pyarrow refuses.

        Raises:
          OSError: if that fails.
        """
        return open(self.path, "rb") if self.is_local else self.system.open_input_file(self.path)


def root(text: str) -> str:
    """Returns SCHEME://HOST of a URI, "" for a path of this machine."""
    found = _URI.match(text)
    return found[0] if found else ""


def locate(text: str, what: str) -> Location:
    """Returns the location that a path or a URI means; credentials are those of the file system.

    Args:
      text: a path of this machine, also as file:///PATH; or a URI that pyarrow.fs.FileSystem.from_uri knows, such as
        s3://, gs://, hdfs://, abfs://, and fsspec+SCHEME:// for a file system of fsspec.
      what: the option or flag that holds it, for error messages.

    Raises:
      UserError: if it is empty, or no file system is known for it.
      OSError: if the store can't be reached.
    """
    found = _URI.match(text)
    if not found:
        return Location(fs.LocalFileSystem(), os.fspath(paths.local(text, what)), "")
    if found[1] == "file" and not found[2]:
        path = os.fsdecode(urllib.parse.unquote_to_bytes(os.fsencode(text[len(found[0]) :])))
        return Location(fs.LocalFileSystem(), os.path.abspath(path), "")
    if _WEB.fullmatch(found[1]):
        raise UserError(
            f"{what}: expected a path or a URI of a store, got {text!r}. The answers of web servers do not tell a "
            "missing file from a failure; download the files, and name their folder."
        )
    if paths.readable(text) != text:
        raise UserError(f"{what}: expected a URI in UTF-8, got {paths.readable(text)!r}; stores have no other names.")
    try:
        system, prefix = _store(found[0])
    except (ValueError, ImportError) as error:
        raise UserError(
            f"{what}: expected a path or a URI of a file system that is known here, got {text!r}: {_first_line(error)}."
        ) from None
    except MemoryError:
        raise
    except Exception as error:  # libraries below fsspec have classes of their own
        raise OSError(f"{what}: {found[0]} can't be reached: {_first_line(error)}.") from error
    return Location(system, text[len(prefix) :], prefix)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")


@functools.lru_cache
def _store(root: str) -> tuple[fs.FileSystem, str]:
    """Returns the file system of SCHEME://HOST, and what stands before its paths; connecting takes a second."""
    system, path = fs.FileSystem.from_uri(f"{root}/")
    return fsspec_store.wrap(system), root.removesuffix(path.rstrip("/"))


def list_folder(folder: Location, enters: Callable[[str], bool] | None = None) -> list[str]:
    """Returns the paths of all files below a folder, sorted; see `image_files.find` for what is skipped.

    Args:
      folder: the folder.
      enters: see `image_files.find`. A store is listed as a whole.

    Raises:
      OSError: if the folder, or one below it, can't be read.
    """
    if folder.is_local:
        tree = image_files.find(folder.path, enters=enters)
        if tree.unreadable:
            name, reason = tree.unreadable[0]
            raise OSError(f"Cannot read the folder {os.path.join(folder.path, name)}: {reason}.")
        return sorted(os.path.join(folder.path, name) for name in (*tree.images, *tree.others))
    infos = folder.system.get_file_info(fs.FileSelector(folder.path, recursive=True))
    below = len(folder.path.rstrip("/")) + 1
    names = [info.path for info in infos if info.type == fs.FileType.File]
    return sorted(name for name in names if not image_files.is_skipped(name[below:]))


def has_wildcard(text: str) -> bool:
    """Returns whether a path or a URI is a pattern."""
    return _WILDCARD.search(text) is not None


def match(pattern: Location) -> list[str]:
    """Returns the paths of the files that a pattern fits, sorted, on this machine as in a store.

    `*` and `?` stay inside a folder, `**/` is any depth, and all other characters mean themselves. What `list_folder`
    skips fits no pattern, but the folders before the first `*` or `?` may have any names.

    Raises:
      OSError: if a folder can't be listed.
    """
    path = pattern.path
    fixed = path[: path.rfind("/", 0, _WILDCARD.search(path).start()) + 1]
    folders = path[len(fixed) :].split("/")[:-1]
    known = list(itertools.takewhile(lambda name: "**" not in name, folders))

    def enters(folder: str) -> bool:
        names = folder.split("/")
        fit = all(re.fullmatch(_expression(part), name, re.DOTALL) for part, name in zip(known, names))
        return fit and ("**" in path or len(names) <= len(folders))

    expression = re.compile(_expression(path), re.DOTALL)
    found = list_folder(pattern._replace(path=fixed.rstrip("/") or fixed), enters)
    return [name for name in found if expression.fullmatch(name)]


def _expression(pattern: str) -> str:
    meanings = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"((?<![^/])\*\*/|\*\*|\*|\?)", pattern)
    return "".join(meanings.get(part, re.escape(part)) for part in parts)


def sizes(system: fs.FileSystem, names: Sequence[str]) -> list[int]:
    """Returns the sizes of files in bytes; -1 for what is not there or no file, 0 if a store does not tell the size.

    Raises:
      OSError: if the disk, the network or the store fails.
    """
    if isinstance(system, fs.LocalFileSystem):
        return [_local_size(name) for name in names]
    infos = system.get_file_info(list(names))
    return [(info.size or 0) if info.type == fs.FileType.File else -1 for info in infos]


def _local_size(name: str) -> int:
    try:
        status = os.stat(name)
    except (FileNotFoundError, NotADirectoryError):
        return -1
    return status.st_size if stat.S_ISREG(status.st_mode) else -1
