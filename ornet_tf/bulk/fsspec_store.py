"""File systems of fsspec whose failures are told from files that are not there."""
from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from pyarrow import fs


def wrap(system: fs.FileSystem) -> fs.FileSystem:
    """Returns a file system whose failed calls raise OSErrors, if it is one of fsspec; others stay as they are.

    A FileNotFoundError means that `info` has not found the file. The functions `isfile`, `isdir` and `exists` of fsspec
    itself also answer no when the store fails.
    """
    if isinstance(system, fs.PyFileSystem) and isinstance(system.handler, fs.FSSpecHandler):
        return fs.PyFileSystem(fs.FSSpecHandler(_Checked(system.handler.fs)))
    return system


class _Checked:
    """A file system of fsspec, or an open file of it."""

    def __init__(self, inner: Any):
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        return _os_errors()(value) if callable(value) else value

    def open(self, path: str, mode: str) -> _Checked:
        with _os_errors():
            return _Checked(self._inner.open(path, mode=mode))

    def exists(self, path: str) -> bool:
        return self._type(path) is not None

    def isfile(self, path: str) -> bool:
        return self._type(path) == "file"

    def isdir(self, path: str) -> bool:
        return self._type(path) == "directory"

    def _type(self, path: str) -> str | None:
        try:
            return self.info(path)["type"]
        except FileNotFoundError:
            return None


@contextlib.contextmanager
def _os_errors() -> Iterator[None]:
    """Lets libraries' own classes of errors, such as those of a connection that breaks, become OSErrors."""
    try:
        yield
    except (OSError, MemoryError):
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
