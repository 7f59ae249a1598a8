"""Files that are there, whole, after a process was killed or a machine has lost its power.

TensorFlow is not imported: its errors are known by their names, so that data sets can write without it.
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

# What a truncated, overwritten or foreign file of arrays makes of reading it.
UNREADABLE = (OSError, EOFError, ValueError, KeyError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error)

_ROOM = "Free some space"
_PLACE = "Its folder was removed, or is a file: bring it back or choose another one"
_RIGHTS = "Make the place writable for this user or choose another one"
_LIMIT = "Raise the limit of open files (ulimit -n)"
_TAKEN = "Something is in the way, there or in the place of its folder: move it or choose another place"
_DISK = "The disk or the way to it fails: mend it or choose another one"
_ADVICE = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.ENOENT: _PLACE,
    errno.ENOTDIR: _PLACE,
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: _RIGHTS,
    errno.EMFILE: _LIMIT,
    errno.ENFILE: _LIMIT,
    errno.EISDIR: _TAKEN,
    errno.EEXIST: _TAKEN,
    errno.ENOTEMPTY: _TAKEN,
    errno.EIO: _DISK,
    errno.ENODEV: _DISK,
    errno.ENXIO: _DISK,
    errno.ESTALE: _DISK,
    errno.EFBIG: "Raise the limit of file sizes (ulimit -f) or choose a file system that takes larger files",
    errno.ENAMETOOLONG: "Choose a shorter path",
}
# TensorFlow puts what the system says into its message, so that the number is known; this is for messages without.
_OF_TENSORFLOW = {
    "NotFoundError": errno.ENOENT,
    "PermissionDeniedError": errno.EACCES,
    "ResourceExhaustedError": errno.ENOSPC,
    "FailedPreconditionError": errno.ENOTDIR,
    "AlreadyExistsError": errno.EEXIST,
    "DataLossError": errno.EIO,
}
_OF_SYSTEM = {os.strerror(number) for number in errno.errorcode}


def advice(error: Exception) -> str:
    """Returns what to do about a write that failed, by what the system says: half a sentence, without its stop.

    Args:
      error: an OSError, or an error of TensorFlow.
    """
    if isinstance(error, OSError):
        number = error.errno
    else:
        said = [number for number in _ADVICE if os.strerror(number) in str(error)]
        number = said[0] if said else _OF_TENSORFLOW.get(type(error).__name__)
    return _ADVICE.get(number, "Mend that or choose another place")


@contextlib.contextmanager
def explain_failures(failure: str, then: str = "") -> Iterator[None]:
    """Makes what TensorFlow or the system says of a write inside a sentence: `failure`, the reason, what to do, `then`.

    Raises:
      OSError: that sentence.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
        elif any(kind.__name__ == "OpError" for kind in type(error).__mro__):
            reason = _of_tensorflow(error)
        else:
            raise
        remedy = advice(error)
        then = "" if remedy == _PLACE else then  # what is said of a folder may not be true of one that is gone
        raise OSError(
            f"{failure}: {str(reason).strip().splitlines()[0]}. {remedy} and start the same command again{then}."
        ) from error


def _of_tensorflow(error: Exception) -> str:
    """Returns what the system says, where the message ends with it; else all of it but the names of operations."""
    text = (error.message or "").strip().partition("\n")[0]
    text = re.sub(r"^(\{\{.*?\}\}\s*)+|\s*\[Op:\w+\]$", "", text)
    last = text.rpartition("; ")[2]
    return last if last in _OF_SYSTEM else text


@contextlib.contextmanager
def open_file(path: str | os.PathLike, then: str = "") -> Iterator[BinaryIO]:
    """Opens a file that takes the place of `path` once it is written whole; its folder is made.

    Args:
      path: of the file.
      then: ends the sentence of an error, see `writing`.

    Raises:
      OSError: if it can't be written, or something that is no file, such as a device, is there; that stays.
    """
    path = os.fspath(path)
    aside, failure = f"{path}.partial", f"{path} could not be written"
    if os.path.lexists(path) and not os.path.isfile(path):
        with explain_failures(failure):
            raise OSError(errno.EEXIST, "what is there is no file")
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
    """Waits until the content of files, or the entries of folders, are on the disk itself.

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
    """Renames a whole file into place: whatever happens, `path` has the old content or the new one.

    Raises:
      OSError: if that can't be done; what was there stays.
    """
    flush_to_disk([aside])
    os.replace(aside, path)
    flush_to_disk([os.path.dirname(path) or "."])


def place_folder(aside: str, path: str) -> None:
    """Renames a whole folder into place: whatever happens, `path` is not there, or with all of its content.

    Args:
      aside: the folder, in the same file system.
      path: where to; an empty folder may be there.

    Raises:
      OSError: if that can't be done, as where a folder with content is there.
    """
    # Files before the folders that name them, and inner folders before outer ones.
    for folder, _, names in os.walk(aside, topdown=False):
        files = [os.path.join(folder, name) for name in names]
        flush_to_disk([*(file for file in files if not os.path.islink(file)), folder])
    os.rename(aside, path)
    flush_to_disk([os.path.dirname(path) or "."])
