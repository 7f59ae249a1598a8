"""Random numbers of training. Each example has its own key, a function of (seed, epoch, index).

So the crop, erasing, mask and dropout of an example do not depend on its batch, on how the batch is split over replicas
and hosts, or on interruptions of the run.
"""
from __future__ import annotations

import contextlib
import threading
import zlib
from collections.abc import Sequence

import tensorflow as tf

_local = threading.local()  # MirroredStrategy traces each replica in a thread of its own


def key(seed: int, epoch: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """Returns the keys of examples in an epoch.

    Args:
      seed: the seed of the run, 0..2^31-1.
      epoch: int64, 0..2^31-1; a scalar or of the shape of `index`.
      index: int64 [...], the index of the image in its source, 0..2^32-1.

    Returns:
      int64 [..., 2].
    """
    position = epoch * 2**32 + index
    return tf.stack([tf.fill(tf.shape(position), tf.constant(seed, tf.int64)), position], axis=-1)


def derive_keys(keys: tf.Tensor, stream: str) -> tf.Tensor:
    """Derives keys int64 [..., 2] for one purpose, named by `stream`; the keys of two streams are independent."""
    return keys + tf.constant([zlib.crc32(stream.encode()) << 31, 0], tf.int64)  # above the 31 bits of the seed


def uniform(keys: tf.Tensor, shape: Sequence[int] | tf.Tensor, stream: str) -> tf.Tensor:
    """Draws numbers for every example.

    Args:
      keys: int64 [B, 2].
      shape: the shape of one example's numbers: integers, or a tensor.
      stream: the purpose of the numbers; the numbers of two streams are independent.

    Returns:
      float32 [B, *shape] in 0..1, 1 excluded.
    """
    static_shape = None if tf.is_tensor(shape) else shape
    # TensorFlow's stateless generators take one key at a time, so a loop in the graph runs over the keys.
    return tf.map_fn(
        lambda example_key: tf.random.stateless_uniform(shape, example_key, alg="philox"),  # the same on every device
        derive_keys(keys, stream),
        fn_output_signature=tf.TensorSpec(static_shape, tf.float32),
    )


def uniform_like(values: tf.Tensor, keys: tf.Tensor, stream: str) -> tf.Tensor:
    """Draws a number for every element of `values` [B, ...]; see `uniform`."""
    static = values.shape[1:]
    draws = uniform(keys, static.as_list() if static.is_fully_defined() else tf.shape(values)[1:], stream)
    return tf.ensure_shape(draws, values.shape)


@contextlib.contextmanager
def examples(keys: tf.Tensor):
    """Provides `keys` [B, 2] to the layers that are called inside, such as `layers.ExampleDropout`."""
    before = keys_of_examples()
    _local.keys = keys
    try:
        yield
    finally:
        _local.keys = before


def keys_of_examples() -> tf.Tensor | None:
    """Returns the keys of the surrounding `examples`, or None."""
    return getattr(_local, "keys", None)
