"""Pooling of a feature map into one vector, other than the mean of all positions."""
from __future__ import annotations

import tensorflow as tf

from ornet_tf.compat import keras

# The length of a pooled vector. Means of VGG16's last features are 55 to 60 long: the same learning rate suits both.
_LENGTH = 50.0


def strength(features: tf.Tensor) -> tf.Tensor:
    """Returns the mean of all channels at each position: [B, h, w, D] -> [B, h, w, 1]."""
    return tf.reduce_mean(features, axis=-1, keepdims=True)


class CrossDimensionalPooling(keras.layers.Layer):
    """Sums features weighted by their strength at each position, and scales the sum to a constant length.

    [B, h, w, D] -> float32 [B, D], computed in float32. These are the spatial weights of cross-dimensional weighting
    (CroW; Kalantidis, Mellina and Osindero, "Cross-dimensional weighting for aggregated deep convolutional features",
    ECCV Workshops 2016, section 3), with a power of 1. Surroundings, which are weak, count less, and the size of the
    object does not matter. Features that are 0 everywhere give zeros. It is not in ORNet's paper.
    """

    def __init__(self, **options):
        super().__init__(dtype="float32", **options)

    def get_config(self):  # noqa: D102 - of the base class
        return {key: value for key, value in super().get_config().items() if key != "dtype"}

    def call(self, inputs):  # noqa: D102 - of the base class
        # Not a product of matrices: TFLite can't convert that for a batch of 1.
        pooled = tf.reduce_sum(strength(inputs) * inputs, axis=[1, 2])
        return _LENGTH * tf.math.l2_normalize(pooled, axis=-1)

    def compute_output_shape(self, input_shape):  # noqa: D102 - of the base class
        return input_shape[0], input_shape[-1]
