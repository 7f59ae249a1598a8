"""Locks an open file or folder against other processes; the lock ends when it is closed, or with its process."""
from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from typing import Any

from absl import logging


def take(file: Any, name: str) -> bool:
    """Takes the lock; returns False if another process has it.

    On a file system that has no such locks, as some network file systems, a warning is logged, and the result is True.

    Args:
      file: an open file, or a file descriptor.
      name: what the warning calls it.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        logging.warning("%s can't be locked (%s). Make sure that only one program uses it.", name, error)
    return True


@contextlib.contextmanager
def locked_folder(path: str | os.PathLike, name: str) -> Iterator[bool]:
    """Takes the lock of a folder, which must exist, and yields whether it has it, see `take`. It leaves no file.

    Raises:
      OSError: if the folder can't be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield take(descriptor, name)
    finally:
        os.close(descriptor)
