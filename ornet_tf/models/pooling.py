"""Pooling of a feature map into one vector, other than the mean of all positions."""
from __future__ import annotations

import tensorflow as tf

from ornet_tf.compat import keras

# The length of a pooled vector. Means of VGG16's last features are 55 to 60 long: at the same learning rate, a dense
# layer learns about as fast from both.
_LENGTH = 50.0


class CrossDimensionalPooling(keras.layers.Layer):
    """Sums features weighted by their strength at each position, and scales the sum to a constant length.

    [B, h, w, D] -> float32 [B, D]. These are the spatial weights of cross-dimensional weighting (CroW; Kalantidis,
    Mellina and Osindero, "Cross-dimensional weighting for aggregated deep convolutional features", ECCV Workshops 2016,
    section 3), with a power of 1. Surroundings, which are weak, count less, and the size of the object does not matter.
    Features that are 0 everywhere give zeros.
    """

    def call(self, inputs):  # noqa: D102 - of the base class
        features = tf.cast(inputs, tf.float32)
        strength = tf.reduce_mean(features, axis=-1)
        pooled = tf.einsum("bhw,bhwd->bd", strength, features)
        return _LENGTH * tf.math.l2_normalize(pooled, axis=-1)

    def compute_output_shape(self, input_shape):  # noqa: D102 - of the base class
        return input_shape[0], input_shape[-1]
