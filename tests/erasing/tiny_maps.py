"""Maps for tests of erasing, and the keys of their examples."""
import numpy as np
import tensorflow as tf

from ornet_tf import randomness


def random_maps(*shape):
    """Returns random maps without zeros: float32 [*shape, 1]."""
    return tf.constant(np.random.default_rng(3).uniform(0.05, 0.95, [*shape, 1]), tf.float32)


def map_with_peak(count, height, width, peak, low=0.2, high=0.9):
    """Returns `count` equal maps, `low` everywhere but at `peak` (y, x): float32 [count, height, width, 1]."""
    single = np.full([height, width], low, np.float32)
    single[peak] = high
    return tf.constant(np.tile(single[None, :, :, None], [count, 1, 1, 1]))


def keys(count, seed=11):
    """Returns the keys of `count` examples."""
    return randomness.key(seed, tf.constant(0, tf.int64), tf.range(count, dtype=tf.int64))
