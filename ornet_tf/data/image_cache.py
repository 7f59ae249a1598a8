"""Holds the images of a source decoded and resized, in memory or in one file, where the graph reads them by index.

Both are one block of bytes that becomes a tensor without a copy: of a file, the operating system loads what is read
and drops it when memory is short. So no kind needs the memory twice, and "disk" needs hardly any. Such a tensor must
not meet tf.data's default optimisations, which copy it.
"""
from __future__ import annotations

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
from ornet_tf.data.source import Source
from ornet_tf.errors import UserError

KINDS = ("none", "memory", "disk", "auto")

# Part of the name of every file: raise it whenever pixels or layout change.
_LAYOUT = 1
_PART_BYTES = 16 * 2**20
_ABANDONED_SECONDS = 3600
# (identity of a source, side, kind, folder) -> uint8 [N, side, side, 3]; an entry goes when its source goes.
_held: dict[tuple, tf.Tensor] = {}


def choose_kind(kind: str, source: Source, *, side: int) -> str:
    """Settles what "auto" means for a source: "memory" if it needs a quarter of the free memory at most, else "none".

    Args:
      kind: one of KINDS.
      source: the images.
      side: to which they are resized, in pixels.

    Returns:
      "none", "memory" or "disk".

    Raises:
      ValueError: unless `kind` is one of KINDS.
    """
    if kind not in KINDS:
        raise ValueError(f"cache must be one of {', '.join(KINDS)}; got {kind!r}.")
    if kind != "auto":
        return kind
    if any(key[:3] == (id(source), side, "memory") for key in _held):
        return "memory"
    needed, available = _bytes(source, side), main_memory.available_bytes()
    chosen = "memory" if needed <= available // 4 else "none"
    logging.info("Cache of the images: %s; they need %.2f GiB, and %.2f GiB of memory are available.",
                 chosen, needed / 2**30, available / 2**30)
    return chosen


def open_cache(source: Source, *, side: int, kind: str, folder: str = "") -> Callable[[tf.Tensor], tf.Tensor]:
    """The same as `image_store.decoder`, but every image is decoded now; once for all calls with equal arguments.

    Args:
      source: the images.
      side: to which they are resized, in pixels.
      kind: "memory" or "disk".
      folder: where "disk" keeps its file, which later runs find again; a changed data set gets another file.

    Raises:
      UserError: if memory or disk have no room, or "disk" has no folder.
      tf.errors.OpError: if an image cannot be read or decoded.
    """
    key = (id(source), side, kind, folder)
    if key not in _held:
        block = _in_memory(source, side) if kind == "memory" else _on_disk(source, side, folder)
        _held[key] = main_memory.as_tensor(block)
        weakref.finalize(source, _held.pop, key, None)
    images = _held[key]
    return lambda index: images[index]


def fingerprint(source: Source) -> str:
    """Returns a text that differs with what makes pixels differ: the images, their order and files, TensorFlow."""
    digest = hashlib.sha256(json.dumps([_LAYOUT, tf.__version__, len(source)]).encode())
    for name, image in zip(source.names, source.images):
        content = _file_state(image) if isinstance(image, str) else [hashlib.sha256(image).hexdigest()]
        digest.update(json.dumps([name, *content]).encode())
    return digest.hexdigest()[:20]


def _bytes(source: Source, side: int) -> int:
    return len(source) * side * side * 3


def _in_memory(source: Source, side: int) -> np.ndarray:
    """Returns uint8 [N, side, side, 3] in memory of its own."""
    block = main_memory.allocate(
        (len(source), side, side, 3), np.uint8, what="cache=memory", remedy="Set cache to disk or none."
    )
    start = 0
    for part in _parts(source, side):
        block[start:start + len(part)] = part
        start += len(part)
    return block


def _on_disk(source: Source, side: int, folder: str) -> np.ndarray:
    """Returns uint8 [N, side, side, 3], a file that is mapped; it is written before, unless it is there."""
    if not folder:
        raise UserError("cache=disk needs a folder; set cache_dir to one on a local disk.")
    path = paths.local(folder, "cache_dir") / f"images-{side}-{fingerprint(source)}.rgb"
    needed = _bytes(source, side)
    if path.exists() and path.stat().st_size == needed:
        logging.info("Cache of the images: %s.", path)
    else:
        _write(source, side, path)
    # Not the mode for a private copy: the system refuses to map more than its memory in that way.
    return np.memmap(path, np.uint8, "r+", shape=(len(source), side, side, 3))


def _write(source: Source, side: int, path: pathlib.Path) -> None:
    """Writes the file under a name of its own and renames it, so that nobody ever maps half a file."""
    sentence = f"cache: {path} could not be written", ", with another cache_dir or another cache"
    with atomic_write.explain_failures(*sentence):
        path.parent.mkdir(parents=True, exist_ok=True)
    for abandoned in path.parent.glob(f".{path.name}.*"):  # of processes that were killed; a live one writes often
        if time.time() - abandoned.stat().st_mtime > _ABANDONED_SECONDS:
            abandoned.unlink(missing_ok=True)
    needed, free = _bytes(source, side), shutil.disk_usage(path.parent).free
    if needed > free:
        raise UserError(
            f"cache=disk needs {needed} bytes ({needed / 2**30:.2f} GiB) in {path.parent}, where {free} are free. "
            "Make room, set cache_dir to another disk, or cache to none.")
    logging.info("Cache of the images: writing %s, %.2f GiB.", path, needed / 2**30)
    with atomic_write.explain_failures(*sentence):
        handle, aside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(handle, "wb") as file:
            for part in _parts(source, side):
                with atomic_write.explain_failures(*sentence):
                    file.write(part.data)
        with atomic_write.explain_failures(*sentence):
            atomic_write.replace_file(aside, str(path))
    finally:
        pathlib.Path(aside).unlink(missing_ok=True)


def _parts(source: Source, side: int):
    """Yields all images in order, uint8 [some, side, side, 3]; each while the next ones are decoded."""
    decoded = image_store.parallel_map(tf.data.Dataset.range(len(source)), image_store.decoder(source, side=side))
    return decoded.batch(max(1, _PART_BYTES // (side * side * 3))).prefetch(1).as_numpy_iterator()


def _file_state(path: str) -> list:
    """Returns what changes with a file's content; of a missing file its path, reading it will say more."""
    try:
        if "://" in path:
            state = tf.io.gfile.stat(path)
            return [path, state.length, state.mtime_nsec]
        state = os.stat(path)
        return [os.path.abspath(path), state.st_size, state.st_mtime_ns]
    except (OSError, tf.errors.OpError):
        return [path]
