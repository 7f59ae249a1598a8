"""Suppression of the activation in the background. Not in the ORNet paper.

If the map misses parts of the object, their activation stays in the background. A part of the object is enough for the
cross-entropy of the foreground, but this loss falls until the map covers all parts. It follows BAS (Wu, Zhai and Cao,
CVPR 2022), which measures the activation of the label's class; here the method chooses the activation.
"""
from __future__ import annotations

import tensorflow as tf


def loss(background_activation: tf.Tensor, whole_activation: tf.Tensor) -> tf.Tensor:
    """Returns the share of each example's activation that is in the background.

    Args:
      background_activation: floating point [B], at least 0: the activation for features times 1 - map; computed in
        float32 for any dtype.
      whole_activation: floating point [B], at least 0: the activation for the whole features. It gets no gradient.

    Returns:
      float32 [B], at least 0; 0 for examples without activation.

    Raises:
      ValueError: if the shapes are not [B].
    """
    background = tf.cast(background_activation, tf.float32)
    whole = tf.stop_gradient(tf.cast(whole_activation, tf.float32))
    if not background.shape.is_compatible_with([None]) or not background.shape.is_compatible_with(whole.shape):
        raise ValueError(
            f"background_activation and whole_activation must both be [B], got {background.shape}, {whole.shape}."
        )
    return tf.math.divide_no_nan(background, whole)
