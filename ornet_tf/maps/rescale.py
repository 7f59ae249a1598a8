"""Rescaling of activation maps to 0..1."""
from __future__ import annotations

import tensorflow as tf


def rescale(activation_map: tf.Tensor) -> tf.Tensor:
    """Rescales each map [B, h, w, 1] to 0..1 by its own minimum and maximum; a constant map becomes 0."""
    low = tf.reduce_min(activation_map, axis=(1, 2, 3), keepdims=True)
    high = tf.reduce_max(activation_map, axis=(1, 2, 3), keepdims=True)
    return tf.math.divide_no_nan(activation_map - low, high - low)
