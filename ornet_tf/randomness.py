"""Random numbers of training: each example draws its own, from a key that is a function of (seed, epoch, index).

So what an example meets (crop, erasing, mask, dropout) depends neither on the batch that it comes in, nor on how the
batch is split over replicas and hosts, nor on how often the run was interrupted.
"""
from __future__ import annotations

import contextlib
import threading
import zlib
from collections.abc import Sequence

import tensorflow as tf

_inside = threading.local()  # MirroredStrategy traces each replica in a thread of its own


def key(seed: int, epoch: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """Returns the keys of examples in an epoch.

    Args:
      seed: of the run, 0..2^31-1.
      epoch: int64, 0..2^31-1; a scalar or of the shape of `index`.
      index: int64 [...], of the image in its source, 0..2^32-1.

    Returns:
      int64 [..., 2].
    """
    place = epoch * 2**32 + index
    return tf.stack([tf.fill(tf.shape(place), tf.constant(seed, tf.int64)), place], axis=-1)


def in_stream(keys: tf.Tensor, stream: str) -> tf.Tensor:
    """Returns the keys int64 [..., 2] that belong to what `stream` names; two streams have nothing in common."""
    return keys + tf.constant([zlib.crc32(stream.encode()) << 31, 0], tf.int64)  # above the 31 bits of the seed


def uniform(keys: tf.Tensor, shape: Sequence[int] | tf.Tensor, stream: str) -> tf.Tensor:
    """Draws numbers for every example.

    Args:
      keys: int64 [B, 2].
      shape: of the numbers of one example: integers, or a tensor.
      stream: what the numbers are for; two streams of one key have nothing in common.

    Returns:
      float32 [B, *shape] in 0..1, 1 excluded.
    """
    known = None if tf.is_tensor(shape) else shape
    # The library's generators take one key at a time. The loop is in the graph and holds this one operation.
    return tf.map_fn(
        lambda one: tf.random.stateless_uniform(shape, one, alg="philox"),  # the same on every device
        in_stream(keys, stream),
        fn_output_signature=tf.TensorSpec(known, tf.float32),
    )


def uniform_like(values: tf.Tensor, keys: tf.Tensor, stream: str) -> tf.Tensor:
    """Draws a number for every element of `values` [B, ...]; see `uniform`."""
    static = values.shape[1:]
    draws = uniform(keys, static.as_list() if static.is_fully_defined() else tf.shape(values)[1:], stream)
    return tf.ensure_shape(draws, values.shape)


@contextlib.contextmanager
def examples(keys: tf.Tensor):
    """Makes `keys` [B, 2] those that layers find which are called inside, such as `layers.ExampleDropout`."""
    before = keys_of_examples()
    _inside.keys = keys
    try:
        yield
    finally:
        _inside.keys = before


def keys_of_examples() -> tf.Tensor | None:
    """Returns the keys given to the `examples` around the call, or None."""
    return getattr(_inside, "keys", None)
