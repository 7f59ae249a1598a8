"""Strategies that tests share: two over the same devices would use the same numbers for collective operations."""
import functools

import tensorflow as tf


@functools.cache
def mirrored(*devices: str) -> tf.distribute.Strategy:
    """Returns the strategy over these devices, such as "CPU:0", "CPU:1"; always the same object."""
    return tf.distribute.MirroredStrategy(devices)
