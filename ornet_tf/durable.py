"""Files that are there, whole, after a process was killed or a machine has lost its power."""
from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator

import tensorflow as tf


@contextlib.contextmanager
def writing(failure: str, then: str) -> Iterator[None]:
    """Makes what TensorFlow or the system says of a write inside a sentence: `failure`, the reason, what to do, `then`.

    Raises:
      OSError: that sentence.
    """
    try:
        yield
    except (tf.errors.OpError, OSError) as error:
        reason = error.message if isinstance(error, tf.errors.OpError) else error.strerror
        raise OSError(
            f"{failure}: {str(reason).strip().splitlines()[0]}. Free some space and start the same command again{then}."
        ) from error


def sync(paths: Iterable[str]) -> None:
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


def replace(aside: str, path: str) -> None:
    """Renames a whole file into place: whatever happens, `path` has the old content or the new one.

    Raises:
      OSError: if that can't be done; what was there stays.
    """
    sync([aside])
    os.replace(aside, path)
    sync([os.path.dirname(path) or "."])


def place(aside: str, path: str) -> None:
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
        sync([*(file for file in files if not os.path.islink(file)), folder])
    os.rename(aside, path)
    sync([os.path.dirname(path) or "."])
