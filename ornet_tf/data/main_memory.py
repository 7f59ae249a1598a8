"""Allocates large arrays in main memory, which become tensors without a copy."""
from __future__ import annotations

import mmap
import os
import pathlib

import numpy as np
import tensorflow as tf

from ornet_tf.errors import UserError


def available_bytes() -> int:
    """Returns the available memory in bytes, within the limit of a container; half of all memory if it is unknown."""
    available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    meminfo = pathlib.Path("/proc/meminfo")
    if meminfo.exists():
        fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        if "MemAvailable" in fields:
            available = int(fields["MemAvailable"].split()[0]) * 1024
    limit, used = (pathlib.Path("/sys/fs/cgroup", name) for name in ("memory.max", "memory.current"))
    if limit.exists() and limit.read_text().strip().isdecimal():  # "max" if the container has no limit
        stat = pathlib.Path("/sys/fs/cgroup/memory.stat")
        fields = dict(line.split() for line in stat.read_text().splitlines()) if stat.exists() else {}
        # The system can drop the cached content of files.
        needed = int(used.read_text()) - int(fields.get("inactive_file", 0))
        available = min(available, max(0, int(limit.read_text()) - needed))
    return available


def constant(values, dtype: tf.DType) -> tf.Tensor:
    """Makes a tensor in main memory, where tf.data needs it, also on a machine with a GPU."""
    with tf.device("/CPU:0"):
        return tf.convert_to_tensor(values, dtype)


def allocate(shape: tuple[int, ...], dtype, *, what: str, remedy: str) -> np.ndarray:
    """Returns an array of zeros in page-aligned memory: TensorFlow uses only aligned memory without a copy.

    Args:
      shape: of the array.
      dtype: of the array.
      what: what the memory is for, the subject of the error message.
      remedy: what the user can do, the last sentence of the error message.

    Raises:
      UserError: if too little memory is available.
    """
    needed, available = int(np.prod(shape)) * np.dtype(dtype).itemsize, available_bytes()
    if needed > available:
        raise UserError(
            f"{what} needs {needed} bytes of memory ({needed / 2**30:.2f} GiB), and {available} are available. {remedy}"
        )
    pages = mmap.mmap(-1, max(needed, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return np.frombuffer(pages, dtype, count=int(np.prod(shape))).reshape(shape)


def as_tensor(block: np.ndarray) -> tf.Tensor:
    """Returns a tensor in main memory that shares the memory of an aligned array."""
    with tf.device("/CPU:0"):
        if block.dtype == tf.bfloat16.as_numpy_dtype:  # NumPy can't export this type
            return tf.bitcast(as_tensor(block.view(np.uint16)), tf.bfloat16)
        return tf.experimental.dlpack.from_dlpack(block.__dlpack__())
