"""Caches the decoded and resized images of a source, in memory or in one file, for reading by index in the graph.

Either cache is one block of bytes, which becomes a tensor without a copy. A file is memory-mapped: the operating system
loads the parts that are read and drops them when memory is short, so "disk" needs hardly any memory. tf.data's default
optimizations would copy such a tensor, so `input_pipeline` turns them off.
"""
from __future__ import annotations

import functools
import hashlib
import json
import os
import pathlib
import shutil
import tempfile
import time
import weakref
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from absl import logging

from ornet_tf import atomic_write, paths
from ornet_tf.data import image_store, main_memory
from ornet_tf.data.source import Encoded, Record, Source
from ornet_tf.errors import UserError

KINDS = ("none", "memory", "disk", "auto")

# Part of the name of every file. Raise it when the pixels or the layout of the file change.
_LAYOUT = 2
_PART_BYTES = 16 * 2**20
_ABANDONED_SECONDS = 3600
# (id of a source, side, kind, folder) -> uint8 [N, side, side, 3]; an entry is removed when its source is deleted.
_open_caches: dict[tuple, tf.Tensor] = {}


def choose_kind(kind: str, source: Source, *, side: int) -> str:
    """Returns the kind of cache to use for a source.

    Args:
      kind: one of KINDS; "auto" is "memory" if that needs at most a quarter of the available memory, else "none".
      source: the images.
      side: height and width of the resized images, in pixels.

    Returns:
      "none", "memory" or "disk".

    Raises:
      ValueError: unless `kind` is one of KINDS.
    """
    if kind not in KINDS:
        raise ValueError(f"cache must be one of {', '.join(KINDS)}; got {kind!r}.")
    if kind != "auto":
        return kind
    if any(key[:3] == (id(source), side, "memory") for key in _open_caches):
        return "memory"
    needed, available = _cache_bytes(source, side), main_memory.available_bytes()
    chosen = "memory" if needed <= available // 4 else "none"
    logging.info("Image cache: %s; the images need %.2f GiB, and %.2f GiB of memory are available.",
                 chosen, needed / 2**30, available / 2**30)
    return chosen


def open_cache(source: Source, *, side: int, kind: str, folder: str = "") -> Callable[[tf.Tensor], tf.Tensor]:
    """Decodes every image of a source and returns the function from an image's index to uint8 [side, side, 3].

    The function has the same results as that of `image_store.decoder`. A second call with equal arguments decodes
    nothing.

    Args:
      source: the images.
      side: height and width of the resized images, in pixels.
      kind: "memory" or "disk".
      folder: for "disk", the folder of the cache file. Later runs reuse the file; a changed data set gets another one.

    Raises:
      UserError: if memory or disk have no room, or "disk" has no folder.
      tf.errors.OpError: if an image can't be read or decoded.
    """
    key = (id(source), side, kind, folder)
    if key not in _open_caches:
        block = _fill_memory(source, side) if kind == "memory" else _map_file(source, side, folder)
        _open_caches[key] = main_memory.as_tensor(block)
        weakref.finalize(source, _open_caches.pop, key, None)
    images = _open_caches[key]
    return lambda index: images[index]


def fingerprint(source: Source) -> str:
    """Returns a text that changes with everything that can change pixels: images, order, files, TensorFlow version."""
    digest = hashlib.sha256(json.dumps([_LAYOUT, tf.__version__, len(source)]).encode())
    shard_state = functools.cache(_file_state)  # a shard has thousands of images
    for name, image in zip(source.names, source.images):
        digest.update(json.dumps([name, *_content_state(image, shard_state)]).encode())
    return digest.hexdigest()[:20]


def _content_state(image: Encoded, shard_state: Callable[[str], list]) -> list:
    if isinstance(image, Record):
        return [*shard_state(image.file), image.offset, image.length]
    return _file_state(image) if isinstance(image, str) else [hashlib.sha256(image).hexdigest()]


def _cache_bytes(source: Source, side: int) -> int:
    return len(source) * side * side * 3


def _fill_memory(source: Source, side: int) -> np.ndarray:
    """Decodes all images into memory, uint8 [N, side, side, 3]."""
    block = main_memory.allocate(
        (len(source), side, side, 3), np.uint8, what="cache=memory", remedy="Set cache to disk or none."
    )
    start = 0
    for part in _decode_parts(source, side):
        block[start:start + len(part)] = part
        start += len(part)
    return block


def _map_file(source: Source, side: int, folder: str) -> np.ndarray:
    """Writes the cache file unless it exists, and maps it to memory, uint8 [N, side, side, 3]."""
    if not folder:
        raise UserError("cache=disk needs a folder; set cache_dir to one on a local disk.")
    path = paths.local(folder, "cache_dir") / f"images-{side}-{fingerprint(source)}.rgb"
    needed = _cache_bytes(source, side)
    if path.exists() and path.stat().st_size == needed:
        logging.info("Image cache: %s.", path)
    else:
        _write(source, side, path)
    # "r+", not the copy-on-write mode "c", in which the system maps no file that is larger than its memory.
    return np.memmap(path, np.uint8, "r+", shape=(len(source), side, side, 3))


def _write(source: Source, side: int, path: pathlib.Path) -> None:
    """Writes the file under a temporary name and renames it, so that no process maps an incomplete file."""
    failure = f"cache: {path} could not be written", ", with another cache_dir or another cache"
    with atomic_write.explain_failures(*failure):
        path.parent.mkdir(parents=True, exist_ok=True)
    # A temporary file that is not written to any more was left by a process that was killed.
    for abandoned in path.parent.glob(f".{path.name}.*"):
        if time.time() - abandoned.stat().st_mtime > _ABANDONED_SECONDS:
            abandoned.unlink(missing_ok=True)
    needed, free = _cache_bytes(source, side), shutil.disk_usage(path.parent).free
    if needed > free:
        raise UserError(
            f"cache=disk needs {needed} bytes ({needed / 2**30:.2f} GiB) in {path.parent}, where {free} are free. "
            "Free some space, set cache_dir to another disk, or set cache to none.")
    logging.info("Image cache: writing %s, %.2f GiB.", path, needed / 2**30)
    with atomic_write.explain_failures(*failure):
        handle, aside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(handle, "wb") as file:
            for part in _decode_parts(source, side):
                with atomic_write.explain_failures(*failure):
                    file.write(part.data)
        with atomic_write.explain_failures(*failure):
            atomic_write.replace_file(aside, str(path))
    finally:
        pathlib.Path(aside).unlink(missing_ok=True)


def _decode_parts(source: Source, side: int):
    """Yields all images in order in parts, uint8 [n, side, side, 3]; the next part is decoded meanwhile."""
    decoded = image_store.parallel_map(tf.data.Dataset.range(len(source)), image_store.decoder(source, side=side))
    return decoded.batch(max(1, _PART_BYTES // (side * side * 3))).prefetch(1).as_numpy_iterator()


def _file_state(path: str) -> list:
    """Returns path, size and modification time of a file; for a missing file the path alone: reading it will fail."""
    try:
        if "://" in path:
            state = tf.io.gfile.stat(path)
            return [path, state.length, state.mtime_nsec]
        state = os.stat(path)
        return [os.path.abspath(path), state.st_size, state.st_mtime_ns]
    except (OSError, tf.errors.OpError):
        return [path]
