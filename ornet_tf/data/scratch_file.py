"""Arrays in scratch files: as large as the disk allows, with little memory, and gone when the process ends."""
from __future__ import annotations

import errno
import mmap
import os
import tempfile

import numpy as np

from ornet_tf import atomic_write, paths
from ornet_tf.data import main_memory


class ScratchArray:
    """An array in a memory-mapped file without a name.

    The operating system keeps the parts of the file that are used in the memory that no program needs. It frees the
    file when the array is deleted or the process ends, also after a kill.

    Attributes:
      array: the array; zeros at first.
      tensor: the same memory as a tensor in main memory.
    """

    def __init__(self, shape: tuple[int, ...], dtype, *, folder: str, what: str, remedy: str):
        """Reserves the space on the disk.

        Args:
          shape: of the array.
          dtype: of the array, a NumPy type.
          folder: the folder of the file, on a local disk; it is made if it does not exist.
          what: what the file is for, the subject of the error message.
          remedy: what the user can do, the end of the error message.

        Raises:
          OSError: if the disk has too little space, or the folder can't be written.
        """
        count = int(np.prod(shape))
        size = max(count * np.dtype(dtype).itemsize, 1)
        failure = f"{what} ({size / 2**30:.2f} GiB) could not be written to {folder}"
        with atomic_write.explain_failures(failure, f", {remedy}"):
            place = paths.local(folder, "cache_dir")
            place.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=place) as file:
                # Reserved now: a full disk would end the process by a signal when a page is written.
                getattr(os, "posix_fallocate", _resize_if_it_fits)(file.fileno(), 0, size)
                self._pages = mmap.mmap(file.fileno(), size)
        self.array = np.frombuffer(self._pages, dtype, count=count).reshape(shape)
        self.tensor = main_memory.as_tensor(self.array)

    def release_memory(self) -> None:
        """Unmaps all pages from the process; those that are used again are mapped or read again."""
        self._pages.madvise(mmap.MADV_DONTNEED)


def _resize_if_it_fits(number: int, _: int, size: int) -> None:
    """Sets the size of an open file, where the system can't reserve its space."""
    free = os.fstatvfs(number)
    if size > free.f_bavail * free.f_frsize:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.truncate(number, size)
