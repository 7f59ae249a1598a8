"""Area of the activation map (Eq. 16): the share of the image that is on."""
from __future__ import annotations

import tensorflow as tf


def loss(activation_map: tf.Tensor) -> tf.Tensor:
    """Returns the mean of the pixels of each map (Eq. 16).

    The authors' released code adds the class maps of ranks 4 to 25; the paper and this loss do not.

    Args:
      activation_map: floating point [B, h, w, 1] in 0..1; computed in float32 for any dtype.

    Returns:
      float32 [B] in 0..1.

    Raises:
      ValueError: if the map has another shape.
    """
    values = tf.cast(activation_map, tf.float32)
    if not values.shape.is_compatible_with([None, None, None, 1]):
        raise ValueError(f"activation_map must have shape [B, h, w, 1], got {values.shape}; pass one map per example.")
    return tf.reduce_mean(values, axis=[1, 2, 3])


loss.needs_classes = True  # alone it is lowest for an empty map
