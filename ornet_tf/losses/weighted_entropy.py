"""Weighted entropy of the activation map (Eq. 14 and 15): the entropy of the undecided pixels, those around mu."""
from __future__ import annotations

import math
import numbers

import tensorflow as tf

from ornet_tf.errors import UserError
from ornet_tf.losses import entropy


def loss(activation_map: tf.Tensor, *, mu: float = 0.5, sigma: float = 0.1) -> tf.Tensor:
    """Returns the mean over each map's pixels m of exp(-(m - mu)^2 / (2 sigma^2)) times their entropy (Eq. 14, 15).

    The Gaussian is not normalised: its height is 1. It is part of what is differentiated, not a constant weight; the
    paper leaves that open, and the authors' released code does it. So a pixel is pushed away from mu twice: because
    its entropy falls, and because its weight does.

    The values and derivatives at exactly 0 and 1 are those of `entropy.per_pixel` under the Gaussian: finite, and
    with the paper's sigma below 1e-4.

    Args:
      activation_map: floating point [B, h, w, 1] in 0..1; computed in float32 whatever it comes in.
      mu: the map value of the largest weight, in 0..1.
      sigma: the width of the Gaussian, in units of the map's values; above 0.

    Returns:
      float32 [B] in 0..log 2.

    Raises:
      UserError: if an option is out of range.
      ValueError: if the map has another shape.
    """
    for name, value in (("mu", mu), ("sigma", sigma)):
        if not isinstance(value, numbers.Real):
            raise UserError(f"{name} must be a number, got {value!r}; write it without quotes.")
    if not 0.0 <= mu <= 1.0:
        raise UserError(f"mu must be a map value between 0 and 1, got {mu!r}; the paper has 0.5.")
    if not 0.0 < sigma < math.inf:
        raise UserError(f"sigma must be positive and finite, got {sigma!r}; the paper has 0.1.")
    uncertainty = entropy.per_pixel(activation_map)  # [B, h, w, 1]
    # Divided before it is squared: sigma^2 would leave float32 for a small sigma, and 0 / 0 is no weight.
    weight = tf.exp(-0.5 * tf.square((tf.cast(activation_map, tf.float32) - mu) / sigma))
    return tf.reduce_mean(weight * uncertainty, axis=[1, 2, 3])


loss.needs_classes = True  # alone it is content with an empty map
