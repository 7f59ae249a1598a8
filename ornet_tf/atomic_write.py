"""Writes files and folders so that they exist whole or not at all, even after a kill or a power failure.

TensorFlow is not imported, so that data sets can write without it. Its errors are recognized by their class names.
"""
from __future__ import annotations

import contextlib
import errno
import os
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

# Raised by reading a truncated, overwritten or foreign file of arrays.
UNREADABLE = (OSError, EOFError, ValueError, KeyError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error)

_SPACE = "Free some space"
_FOLDER = "Its folder was removed or is a file: restore it or choose another one"
_RIGHTS = "Make it writable for this user or choose another place"
_LIMIT = "Raise the limit of open files (ulimit -n)"
_EXISTS = "Something else has that name or that of its folder: move it or choose another place"
_DISK = "The disk or the connection to it fails: repair it or choose another one"
_ADVICE = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.ENOENT: _FOLDER,
    errno.ENOTDIR: _FOLDER,
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: _RIGHTS,
    errno.EMFILE: _LIMIT,
    errno.ENFILE: _LIMIT,
    errno.EISDIR: _EXISTS,
    errno.EEXIST: _EXISTS,
    errno.ENOTEMPTY: _EXISTS,
    errno.EIO: _DISK,
    errno.ENODEV: _DISK,
    errno.ENXIO: _DISK,
    errno.ESTALE: _DISK,
    errno.EFBIG: "Raise the limit of file sizes (ulimit -f) or choose a file system that takes larger files",
    errno.ENAMETOOLONG: "Choose a shorter path",
}
# For TensorFlow errors whose message does not include the message of the system.
_ERRNO_OF_TENSORFLOW_ERROR = {
    "NotFoundError": errno.ENOENT,
    "PermissionDeniedError": errno.EACCES,
    "ResourceExhaustedError": errno.ENOSPC,
    "FailedPreconditionError": errno.ENOTDIR,
    "AlreadyExistsError": errno.EEXIST,
    "DataLossError": errno.EIO,
}
_SYSTEM_MESSAGES = {os.strerror(number) for number in errno.errorcode}


def advice(error: Exception) -> str:
    """Returns what to do about a failed write: a sentence without its full stop.

    Args:
      error: an OSError or an error of TensorFlow.
    """
    if isinstance(error, OSError):
        number = error.errno
    else:
        numbers = [number for number in _ADVICE if os.strerror(number) in str(error)]
        number = numbers[0] if numbers else _ERRNO_OF_TENSORFLOW_ERROR.get(type(error).__name__)
    return _ADVICE.get(number, "Fix that or choose another place")


@contextlib.contextmanager
def explain_failures(failure: str, then: str = "") -> Iterator[None]:
    """Turns errors of TensorFlow and the system about a failed write inside into a message for the user.

    Args:
      failure: what failed; the beginning of the message. The reason and what to do follow.
      then: the end of the message: what starting the command again will do.

    Raises:
      OSError: with this message.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
        elif any(kind.__name__ == "OpError" for kind in type(error).__mro__):
            reason = _tensorflow_reason(error)
        else:
            raise
        remedy = advice(error)
        then = "" if remedy == _FOLDER else then  # may not hold for a folder that is gone
        raise OSError(
            f"{failure}: {str(reason).strip().splitlines()[0]}. {remedy} and start the same command again{then}."
        ) from error


def _tensorflow_reason(error: Exception) -> str:
    """Returns the system's message if TensorFlow's ends with it; otherwise TensorFlow's, without operation names."""
    text = (error.message or "").strip().partition("\n")[0]
    text = re.sub(r"^(\{\{.*?\}\}\s*)+|\s*\[Op:\w+\]$", "", text)
    last = text.rpartition("; ")[2]
    return last if last in _SYSTEM_MESSAGES else text


@contextlib.contextmanager
def open_file(path: str | os.PathLike, then: str = "") -> Iterator[BinaryIO]:
    """Opens a temporary file that replaces `path` once it is written completely. Creates the folder.

    Args:
      path: the path of the file.
      then: the end of error messages; see `explain_failures`.

    Raises:
      OSError: if the file can't be written, or if `path` exists and is not a file, such as a device; it stays.
    """
    path = os.fspath(path)
    aside, failure = f"{path}.partial", f"{path} could not be written"
    if os.path.lexists(path) and not os.path.isfile(path):
        with explain_failures(failure):
            raise OSError(errno.EEXIST, "it exists and is not a file")
    try:
        with explain_failures(failure, then):
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            with open(aside, "wb") as file:
                yield file
            replace_file(aside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(aside)
        raise


def flush_to_disk(paths: Iterable[str]) -> None:
    """Waits until the content of files, or the entries of folders, are on the disk.

    Raises:
      OSError: if one can't be opened or written.
    """
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def replace_file(aside: str, path: str) -> None:
    """Renames the complete file `aside` to `path`, atomically: `path` always has its old or its new content.

    Raises:
      OSError: if that fails; the old content stays.
    """
    flush_to_disk([aside])
    os.replace(aside, path)
    flush_to_disk([os.path.dirname(path) or "."])


def place_folder(aside: str, path: str) -> None:
    """Renames a complete folder to `path`, atomically: `path` never exists with part of the content.

    Args:
      aside: the folder, in the same file system.
      path: the new path; an empty folder there is replaced.

    Raises:
      OSError: if that fails, for example because `path` is a folder with content.
    """
    # Files before their folders, and inner folders before outer ones.
    for folder, _, names in os.walk(aside, topdown=False):
        files = [os.path.join(folder, name) for name in names]
        flush_to_disk([*(file for file in files if not os.path.islink(file)), folder])
    os.rename(aside, path)
    flush_to_disk([os.path.dirname(path) or "."])
