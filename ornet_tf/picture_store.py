"""The pictures of a source by their index, in the graph: read and decoded anew each time, or kept decoded."""
from __future__ import annotations

import os
import weakref
from collections.abc import Callable

import tensorflow as tf

from ornet_tf import images, picture_cache, transforms
from ornet_tf.datasets import Source

_PART_BYTES = 16 * 2**20
# (identity of a source, side, kind) -> uint8 [N, side, side, 3]; an entry goes when its source goes.
_held: dict[tuple[int, int, str], tf.Tensor] = {}


def in_main_memory(values, dtype: tf.DType) -> tf.Tensor:
    """Makes a tensor where tf.data works, also on a machine with a GPU."""
    with tf.device("/CPU:0"):
        return tf.convert_to_tensor(values, dtype)


def each(dataset: tf.data.Dataset, function: Callable) -> tf.data.Dataset:
    """Maps a function without Python control flow on tensors over a dataset, in parallel and in order."""
    # Autograph has nothing to convert here; looking for it takes a second for each program.
    return dataset.map(tf.autograph.experimental.do_not_convert(function), tf.data.AUTOTUNE, deterministic=True)


def reader(source: Source) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns the function from a picture's index, scalar int64, to its encoded file, scalar string.

    Raises:
      TypeError: unless the source holds either paths or encoded files.
    """
    kinds = {str if isinstance(image, str) else bytes if isinstance(image, bytes) else None for image in source.images}
    if None in kinds or len(kinds) > 1:
        raise TypeError("Source.images must be all paths (str) or all encoded files (bytes); got others or a mixture.")
    files = in_main_memory(list(source.images), tf.string)
    if kinds == {bytes}:
        return lambda index: files[index]
    return lambda index: tf.io.read_file(files[index])


def decoder(source: Source, *, side: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns the function from a picture's index to uint8 [side, side, 3], read and decoded at each call."""
    read = reader(source)
    return lambda index: transforms.resized(images.decode(read(index)), side)


def holder(source: Source, *, side: int, kind: str, folder: str = "") -> Callable[[tf.Tensor], tf.Tensor]:
    """The same as `decoder`, but every picture is decoded now and kept; once for all calls with one source and side.

    Args:
      source: the pictures.
      side: in pixels.
      kind: where they are kept, "memory" or "disk".
      folder: for "disk".

    Raises:
      ValueError: if memory or disk do not suffice.
      OSError: if the disk can't be written.
      tf.errors.OpError: if a picture cannot be read or decoded.
    """
    key = (id(source), side, kind)
    if key not in _held:
        decoded = each(tf.data.Dataset.range(len(source)), decoder(source, side=side))
        batches = decoded.batch(max(1, _PART_BYTES // (side * side * 3))).as_numpy_iterator()
        shape = (len(source), side, side, 3)
        if kind == "memory":
            _held[key] = picture_cache.in_memory(batches, shape)
        else:
            path = os.path.join(folder, picture_cache.fingerprint(source, side))
            _held[key] = picture_cache.on_disk(batches, shape, path)
        weakref.finalize(source, _held.pop, key, None)
    pictures = _held[key]
    return lambda index: pictures[index]
