"""Entropy of the activation map (Eq. 12 and 13): how undecided its pixels are between 0 and 1."""
from __future__ import annotations

import tensorflow as tf

# The distance between 1 and the next smaller float32. With arguments kept this far from 0 and 1, the logarithm of every
# float32 below 1 is exact, and the derivative has the same bound at both ends.
_SMALLEST = 2.0**-24


def pixel_entropy(activation_map: tf.Tensor) -> tf.Tensor:
    """Returns -(m log m + (1 - m) log(1 - m)) of each pixel m, in nats (Eq. 12).

    The true derivative, log((1 - m) / m), is unbounded at 0 and 1. Only inside the logarithms, m is therefore kept
    2^-24 away from both. The entropy is exactly 0 at 0 and 1. The derivative keeps its sign and grows towards both
    ends, where its magnitude is at most 17.7. (With m clipped everywhere the derivative at the ends would be 0, with
    `tf.math.xlogy` 1.) NaN stays NaN.

    Args:
      activation_map: floating point [B, h, w, 1] in 0..1; computed in float32 for any dtype.

    Returns:
      float32 [B, h, w, 1] in 0..log 2.

    Raises:
      ValueError: if the map has another shape.
    """
    values = tf.cast(activation_map, tf.float32)
    if not values.shape.is_compatible_with([None, None, None, 1]):
        raise ValueError(f"activation_map must have shape [B, h, w, 1], got {values.shape}; pass one map per example.")
    on = values * tf.math.log(tf.maximum(values, _SMALLEST))
    off = (1.0 - values) * tf.math.log1p(-tf.minimum(values, 1.0 - _SMALLEST))
    return -(on + off)


def loss(activation_map: tf.Tensor) -> tf.Tensor:
    """Returns the mean entropy of the pixels of each map, in nats (Eq. 13).

    Args:
      activation_map: floating point [B, h, w, 1] in 0..1.

    Returns:
      float32 [B] in 0..log 2. No partial derivative exceeds 17.7 / (h w).

    Raises:
      ValueError: if the map has another shape.
    """
    return tf.reduce_mean(pixel_entropy(activation_map), axis=[1, 2, 3])


loss.needs_classes = True  # alone it is lowest for an empty map
