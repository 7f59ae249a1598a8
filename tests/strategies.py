"""Distribution strategies for tests; each is created once, as two over the same devices share collective numbers."""
import functools

import tensorflow as tf


@functools.cache
def mirrored(*devices: str) -> tf.distribute.Strategy:
    """Returns the strategy over these devices, such as "CPU:0", "CPU:1"; the same object for the same devices."""
    return tf.distribute.MirroredStrategy(devices)
