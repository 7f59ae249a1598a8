"""The pictures of a source by their index, in the graph: read and decoded anew each time."""
from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from ornet_tf import images, main_memory, transforms
from ornet_tf.datasets import Source


def each(dataset: tf.data.Dataset, function: Callable) -> tf.data.Dataset:
    """Maps a function without Python control flow on tensors over a dataset, in parallel and in order."""
    # Autograph has nothing to convert here; looking for it takes a second for each program.
    return dataset.map(tf.autograph.experimental.do_not_convert(function), tf.data.AUTOTUNE, deterministic=True)


def reader(source: Source, *, masks: bool = False) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns the function from a picture's index, scalar int64, to its encoded file or its mask's, scalar string.

    Raises:
      TypeError: unless the source holds either paths or encoded files.
    """
    field = "masks" if masks else "images"
    files = list(getattr(source, field))
    kinds = {str if isinstance(file, str) else bytes if isinstance(file, bytes) else None for file in files}
    if None in kinds or len(kinds) > 1:
        kind = "must be all paths (str) or all encoded files (bytes)"
        raise TypeError(f"Source.{field} {kind}; got others or a mixture.")
    files = main_memory.constant(files, tf.string)
    if kinds == {bytes}:
        return lambda index: files[index]
    return lambda index: tf.io.read_file(files[index])


def decoder(source: Source, *, side: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns the function from a picture's index to uint8 [side, side, 3], read and decoded at each call."""
    read = reader(source)
    return lambda index: transforms.resized(images.decode(read(index)), side)
