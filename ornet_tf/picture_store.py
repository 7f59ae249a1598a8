"""The pictures of a source by their index, in the graph: read and decoded anew each time, or held in memory."""
from __future__ import annotations

import weakref
from collections.abc import Callable

import tensorflow as tf

from ornet_tf import images, transforms
from ornet_tf.datasets import Source

_PART_BYTES = 64 * 2**20
# (identity of a source, side) -> uint8 [N, side, side, 3]; an entry goes when its source goes.
_held: dict[tuple[int, int], tf.Tensor] = {}


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


def holder(source: Source, *, side: int, limit_bytes: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """The same as `decoder`, but every picture is decoded now and held; once for all calls with one source and side.

    Raises:
      ValueError: if the pictures would need more than `limit_bytes`.
      tf.errors.OpError: if a picture cannot be read or decoded.
    """
    key = (id(source), side)
    if key not in _held:
        needed = len(source) * side * side * 3
        if needed > limit_bytes:
            raise ValueError(
                f"cache=True would hold {len(source)} pictures of {side} x {side} pixels in memory: {needed} bytes "
                f"({needed / 2**30:.2f} GiB), more than the limit of {limit_bytes}. Set cache to False.")
        decoded = each(tf.data.Dataset.range(len(source)), decoder(source, side=side))
        # In parts, copied while the next are decoded. It needs the memory twice; a NumPy array on the way, three times.
        parts = list(decoded.batch(max(1, _PART_BYTES // (side * side * 3))))
        with tf.device("/CPU:0"):
            _held[key] = tf.concat(parts, axis=0)
        weakref.finalize(source, _held.pop, key, None)
    pictures = _held[key]
    return lambda index: pictures[index]
