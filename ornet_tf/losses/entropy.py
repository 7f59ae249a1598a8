"""Entropy of the activation map (Eq. 12 and 13): how far its pixels are from a decision between 0 and 1."""
from __future__ import annotations

import tensorflow as tf

# The distance from 1 of the float32 number next to it. With this floor the logarithms are exact for every float32
# below 1, and at 0 they are as large as next to 1.
_SMALLEST = 2.0**-24


def per_pixel(activation_map: tf.Tensor) -> tf.Tensor:
    """Returns -(m log m + (1 - m) log(1 - m)) of each pixel m, in nats (Eq. 12).

    The true derivative, log((1 - m) / m), has no bound at 0 and 1. Here m is kept 2^-24 away from both inside the
    logarithms, and only there. So the value is exactly 0 at 0 and at 1, and the derivative keeps its sign, grows up
    to the very ends and stops there at 17.7 in magnitude. (A map clipped everywhere would have derivative 0 at the
    ends, `tf.math.xlogy` 1.) A NaN stays a NaN.

    Args:
      activation_map: floating point [B, h, w, 1] in 0..1; computed in float32 whatever it comes in.

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
      float32 [B] in 0..log 2. No partial derivative is larger than 17.7 / (h w).

    Raises:
      ValueError: if the map has another shape.
    """
    return tf.reduce_mean(per_pixel(activation_map), axis=[1, 2, 3])


loss.needs_classes = True  # alone it is content with an empty map
