"""Agreement of the map with the pseudo mask of the object prior (`ornet_tf.models.object_prior`). Not in the paper."""
from __future__ import annotations

import numbers

import tensorflow as tf

from ornet_tf.errors import UserError

# The distance between 1 and the next smaller float32. The arguments of logarithms stay this far from 0 and 1.
_SMALLEST = 2.0**-24
_LEAST_SHARE = 0.01  # of a mask, so that an empty one has a finite weight


def loss(
    activation_map: tf.Tensor, pseudo_mask: tf.Tensor, *, label_smoothing: float = 0.1, balance: float = 0.0
) -> tf.Tensor:
    """Returns the mean binary cross-entropy of each map's pixels with its pseudo mask, in nats.

    With label smoothing s the target is 1 - s / 2 inside and s / 2 outside. The borders of pseudo masks are inexact, so
    the map must not become certain because of them.

    Pseudo masks miss ends of objects, tails for example, in some images. There the map learns how often they have them,
    which can be below 0.5, the threshold of boxes. A balance b weights the object with (outside / inside) ** b, the
    numbers of the mask's pixels: an end that is in fewer masks is then kept.

    Args:
      activation_map: floating point [B, h, w, 1] in 0..1; computed in float32 for any dtype.
      pseudo_mask: floating point [B, h, w, 1], 0 or 1; it gets no gradient.
      label_smoothing: s, at least 0 and below 1.
      balance: b, from 0 (all pixels count equally) to 1 (object and surroundings count equally).

    Returns:
      float32 [B], at least 0.

    Raises:
      UserError: if label_smoothing or balance is out of range.
      ValueError: if the maps have other shapes.
    """
    if not isinstance(label_smoothing, numbers.Real) or not 0.0 <= label_smoothing < 1.0:
        raise UserError(f"label_smoothing must be at least 0 and below 1, got {label_smoothing!r}.")
    if not isinstance(balance, numbers.Real) or not 0.0 <= balance <= 1.0:
        raise UserError(f"balance must lie in 0..1, got {balance!r}.")
    values, target = tf.cast(activation_map, tf.float32), tf.stop_gradient(tf.cast(pseudo_mask, tf.float32))
    if not values.shape.is_compatible_with([None, None, None, 1]) or not values.shape.is_compatible_with(target.shape):
        shapes = f"{values.shape}, {target.shape}"
        raise ValueError(f"activation_map and pseudo_mask must both be [B, h, w, 1], got {shapes}.")
    share = tf.reduce_mean(target, axis=[1, 2, 3], keepdims=True)
    share = tf.clip_by_value(share, _LEAST_SHARE, 1.0 - _LEAST_SHARE)
    target = target * (1.0 - label_smoothing) + label_smoothing / 2.0
    # The clipping keeps the gradient, so that a map that is certain but wrong can recover.
    values = values + tf.stop_gradient(tf.clip_by_value(values, _SMALLEST, 1.0 - _SMALLEST) - values)
    weight = ((1.0 - share) / share) ** balance  # [B, 1, 1, 1]
    per_pixel = -(weight * target * tf.math.log(values) + (1.0 - target) * tf.math.log1p(-values))
    return tf.reduce_mean(per_pixel, axis=[1, 2, 3])
