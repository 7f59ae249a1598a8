"""Large tensors in main memory: how much there is, and arrays that become tensors without a copy."""
from __future__ import annotations

import mmap
import os
import pathlib

import numpy as np
import tensorflow as tf

from ornet_tf.errors import UserError


def available_bytes() -> int:
    """Returns how many bytes of memory can be taken, as far as the system tells."""
    found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    meminfo = pathlib.Path("/proc/meminfo")
    if meminfo.exists():
        fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        if "MemAvailable" in fields:
            found = int(fields["MemAvailable"].split()[0]) * 1024
    limit, used = (pathlib.Path("/sys/fs/cgroup", name) for name in ("memory.max", "memory.current"))
    if limit.exists() and limit.read_text().strip().isdecimal():  # the limit of a container; else "max"
        stat = pathlib.Path("/sys/fs/cgroup/memory.stat")
        fields = dict(line.split() for line in stat.read_text().splitlines()) if stat.exists() else {}
        kept = int(used.read_text()) - int(fields.get("inactive_file", 0))  # files that were read can be dropped
        found = min(found, max(0, int(limit.read_text()) - kept))
    return found


def constant(values, dtype: tf.DType) -> tf.Tensor:
    """Makes a tensor where tf.data works, also on a machine with a GPU."""
    with tf.device("/CPU:0"):
        return tf.convert_to_tensor(values, dtype)


def allocate(shape: tuple[int, ...], dtype, *, what: str, remedy: str) -> np.ndarray:
    """Returns an array of zeros in whole pages of its own: of aligned memory only is a tensor made without a copy.

    Args:
      shape: of the array.
      dtype: of the array.
      what: is to be held, for the error.
      remedy: what the user can do about it, for the error.

    Raises:
      UserError: if that much is not available.
    """
    needed, there = int(np.prod(shape)) * np.dtype(dtype).itemsize, available_bytes()
    if needed > there:
        raise UserError(
            f"{what} needs {needed} bytes of memory ({needed / 2**30:.2f} GiB), and {there} are available. {remedy}"
        )
    pages = mmap.mmap(-1, max(needed, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return np.frombuffer(pages, dtype, count=int(np.prod(shape))).reshape(shape)


def as_tensor(block: np.ndarray) -> tf.Tensor:
    """Returns an aligned array as a tensor in main memory, without a copy."""
    with tf.device("/CPU:0"):
        if block.dtype == tf.bfloat16.as_numpy_dtype:  # NumPy can't hand this type over
            return tf.bitcast(as_tensor(block.view(np.uint16)), tf.bfloat16)
        return tf.experimental.dlpack.from_dlpack(block.__dlpack__())
