"""Weighted entropy of the activation map (Eq. 14 and 15): the entropy of undecided pixels, whose values are near mu."""
from __future__ import annotations

import math
import numbers

import tensorflow as tf

from ornet_tf.errors import UserError
from ornet_tf.losses import entropy


def loss(activation_map: tf.Tensor, *, mu: float = 0.5, sigma: float = 0.1) -> tf.Tensor:
    """Returns the mean over each map's pixels m of exp(-(m - mu)^2 / (2 sigma^2)) times their entropy (Eq. 14, 15).

    The Gaussian is not normalized: its height is 1. The gradient includes the derivative of the Gaussian. The paper
    leaves this open, and the authors' released code does so. Two terms therefore push a pixel away from mu: its entropy
    falls, and its weight falls.

    At exactly 0 and 1 values and derivatives are those of `entropy.pixel_entropy` times the Gaussian. They are finite,
    and below 1e-4 with the paper's sigma.

    Args:
      activation_map: floating point [B, h, w, 1] in 0..1; computed in float32 for any dtype.
      mu: the map value with the largest weight, in 0..1.
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
    uncertainty = entropy.pixel_entropy(activation_map)  # [B, h, w, 1]
    return tf.reduce_mean(weight(activation_map, mu=mu, sigma=sigma) * uncertainty, axis=[1, 2, 3])


def weight(values: tf.Tensor, *, mu: float, sigma: float) -> tf.Tensor:
    """Returns the weight gamma of map values m, exp(-(m - mu)^2 / (2 sigma^2)) (Eq. 15).

    Args:
      values: floating point, of any shape; computed in float32 for any dtype.
      mu: the map value with the weight 1.
      sigma: the width of the Gaussian, above 0.

    Returns:
      float32 in 0..1, of the shape of `values`.
    """
    # The division comes before the square: for a small sigma, sigma^2 would underflow in float32 and give 0 / 0.
    return tf.exp(-0.5 * tf.square((tf.cast(values, tf.float32) - mu) / sigma))


loss.needs_classes = True  # alone it is lowest for an empty map
