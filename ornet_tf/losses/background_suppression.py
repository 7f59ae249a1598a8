"""Suppression of the activation that is left in the background. Not in the ORNet paper.

A map that leaves parts of the object out leaves activation in the background. Unlike the cross-entropy of the
foreground, which a part of the object satisfies, this falls until the last part is in. After BAS (Wu, Zhai and Cao,
CVPR 2022), which measures the activation of the label's class; the activation may be that or another one.
"""
from __future__ import annotations

import tensorflow as tf


def loss(background_activation: tf.Tensor, whole_activation: tf.Tensor) -> tf.Tensor:
    """Returns what is left of each example's activation once the foreground is taken out, as a share of it.

    Args:
      background_activation: floating point [B], at least 0: activation on features times 1 - map; computed in
        float32 whatever it comes in.
      whole_activation: floating point [B], at least 0: that on all features. It gets no gradient.

    Returns:
      float32 [B], at least 0; 0 where there is no activation at all.

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
