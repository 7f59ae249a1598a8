"""Small layers that several models share."""
from __future__ import annotations

import tensorflow as tf

from ornet_tf.compat import keras

# RGB means of ImageNet that VGG16's released weights expect to be subtracted (Simonyan and Zisserman, ICLR 2015).
IMAGENET_MEAN_RGB = (123.68, 116.779, 103.939)


class CaffeNormalization(keras.layers.Layer):
    """RGB 0..255 -> BGR minus the ImageNet mean: the input that VGG16's released weights were trained on."""

    def call(self, inputs):  # noqa: D102 - of the base class
        return inputs[..., ::-1] - tf.constant(IMAGENET_MEAN_RGB[::-1], inputs.dtype)

    def compute_output_shape(self, input_shape):  # noqa: D102 - of the base class
        return input_shape


def batch_norm(name: str, **options) -> keras.layers.BatchNormalization:
    """Returns a batch normalisation whose statistics span all replicas of the strategy in scope.

    With one replica the plain, fused form is used: it computes the same and is faster on CPU.
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, synchronized=replicas > 1, name=name, **options)


def conv_norm_relu(x, filters: int, name: str):
    """Applies a 3x3 convolution without bias, batch normalisation and ReLU: [B, h, w, c] -> [B, h, w, filters]."""
    x = keras.layers.Conv2D(
        filters, 3, padding="same", use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv"
    )(x)
    x = batch_norm(f"{name}_norm")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)
