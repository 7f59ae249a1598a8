"""Seeds: first guesses of the object, read from frozen features without training; what a generator may start from.

Not in the paper. Where many channels of a network trained on ImageNet respond, there is mostly an object, whatever its
class; co-localisation builds on the same (deep descriptor transforming, Wei et al., Pattern Recognition 2019). The last
features know best what belongs to an object, features before them where it ends.
"""
from __future__ import annotations

import math
import numbers

import tensorflow as tf

from ornet_tf import components
from ornet_tf.methods import rescale


def mean_activation(low_level: tf.Tensor, last: tf.Tensor, *, low_level_weight: float) -> tf.Tensor:
    """Returns the channel means of two feature maps, each rescaled to 0..1, added up.

    Args:
      low_level: floating point [B, h, w, C], the features that the classifier's upper part gets.
      last: floating point [B, h', w', D], its last features; enlarged to h x w bilinearly.
      low_level_weight: of the first, where the second has 1; 0 for the last features alone.

    Returns:
      float32 [B, h, w, 1] in 0..1.
    """
    mean = rescale(tf.image.resize(_channel_mean(last), tf.shape(low_level)[1:3]))
    if not low_level_weight:
        return mean
    return rescale(mean + low_level_weight * rescale(_channel_mean(low_level)))


def check_weight(low_level_weight: float, name: str) -> None:
    """Raises ValueError unless a weight of `mean_activation`, called `name`, is a number that it can have."""
    if not isinstance(low_level_weight, numbers.Real) or not 0 <= low_level_weight < math.inf:
        raise ValueError(f"{name}: expected a number of at least 0, got {low_level_weight!r}.")


def largest_region(scores: tf.Tensor, threshold: float) -> tf.Tensor:
    """Returns 1 in the largest 8-connected region of each map above a threshold, 0 elsewhere; not for XLA.

    Of equally large regions it is the one with the first pixel in raster order.

    Args:
      scores: float32 [B, h, w, 1].
      threshold: on them.

    Returns:
      float32 [B, h, w, 1], without a gradient.
    """
    labels = components.label_components(tf.squeeze(scores > threshold, axis=3))  # [B, h, w], 0 for background
    places = tf.shape(labels)[1] * tf.shape(labels)[2]
    flat = tf.reshape(labels, [-1, places])
    areas = tf.math.bincount(flat, minlength=places + 1, axis=-1)[:, 1:]  # [B, h * w], by label - 1
    largest = tf.argmax(areas, axis=1, output_type=tf.int32)[:, tf.newaxis] + 1
    return tf.reshape(tf.cast(tf.equal(flat, largest), tf.float32), tf.shape(scores))


def _channel_mean(features: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.cast(features, tf.float32), axis=-1, keepdims=True)
