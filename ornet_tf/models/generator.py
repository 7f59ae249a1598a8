"""The activation map generator: an encoder-decoder on low-level features (paper, section 3.1, Eq. 2-4).

Everything after the decoder's last features x is linear up to the batch normalisation of the map, so what the two
heads need of the k class maps W x + b is computed without making them: with 1,000 classes they would cost more than
the rest of the generator. The weights and the functions are those of the paper.
"""
from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf

from ornet_tf.compat import keras
from ornet_tf.errors import UserError
from ornet_tf.models.layers import batch_norm, conv_norm_relu

_MOST_LEVELS, _MOST_CHANNELS = 20, 2**20  # far beyond what memory holds


def check_options(where: str, *, base_width: int, depth: int, growth: float, logit_scale: float) -> None:
    """Checks the values of the options of `build`.

    Args:
      where: the config path of the options.
      base_width: see `build`, as all that follow.
      depth: see there.
      growth: see there.
      logit_scale: see there.

    Raises:
      UserError: if a number is out of range, or a level would have no channel, or far too many.
    """
    if not 1 <= depth <= _MOST_LEVELS:
        raise UserError(f"{where}.depth: expected a whole number from 1 to {_MOST_LEVELS}, got {depth!r}.")
    if not 1 <= base_width <= _MOST_CHANNELS:
        raise UserError(f"{where}.base_width: expected a whole number from 1 to {_MOST_CHANNELS}, got {base_width!r}.")
    for key, value in (("growth", growth), ("logit_scale", logit_scale)):
        if not 0 < value < math.inf:
            raise UserError(f"{where}.{key}: expected a positive number, got {value!r}.")
    doublings = math.log2(base_width) + depth * math.log2(growth)  # the power itself may be too large for a float
    if not 0 <= round(doublings, 6) <= math.log2(_MOST_CHANNELS):
        raise UserError(
            f"{where}.growth: expected base_width * growth ** depth to be 1 to {_MOST_CHANNELS} channels, got "
            f"{base_width!r} * {growth!r} ** {depth!r}."
        )


def build(
    feature_shape: Sequence[int],
    *,
    num_classes: int,
    base_width: int = 64,
    depth: int = 3,
    growth: float = 2.0,
    logit_scale: float = 1.0,
) -> keras.Model:
    """Builds the U-Net-like generator and its two heads.

    Args:
      feature_shape: (h, w, C) of the low-level features; h and w are multiples of 2 ** depth.
      num_classes: k, the channels of the class maps.
      base_width: channels of the first encoder level.
      depth: the number of times that the encoder halves the resolution.
      growth: factor of the channels from one level to the next.
      logit_scale: factor between the map's batch normalisation and its sigmoid. The paper has 1; a larger one lets the
        map leave the grey middle in fewer steps.

    Returns:
      A functional model: features [B, h, w, C] -> {"activation_map": [B, h, w, 1] in (0, 1) (Eq. 3), "class_maps":
      [B, h, w, k] (Eq. 2), "logits": [B, k] of the auxiliary head (Eq. 4)}.

    Raises:
      UserError: if an option is out of range, or h or w is not a multiple of 2 ** depth.
    """
    check_options("generator", base_width=base_width, depth=depth, growth=growth, logit_scale=logit_scale)
    height, width, _ = feature_shape
    if height % 2**depth or width % 2**depth:
        raise UserError(
            f"generator.depth: features of {height}x{width} can't be halved {depth} times; choose a smaller depth."
        )
    widths = [round(base_width * growth**level) for level in range(depth + 1)]
    x = inputs = keras.Input(tuple(feature_shape), name="low_level_features")
    skips = []
    for level, filters in enumerate(widths):
        if level:
            x = keras.layers.MaxPooling2D(2, name=f"down{level}_pool")(x)
        for index in (1, 2):
            x = conv_norm_relu(x, filters, f"down{level}_{index}")
        skips.append(x)
    for level in reversed(range(depth)):
        x = keras.layers.UpSampling2D(2, interpolation="bilinear", name=f"up{level}_resize")(x)
        x = keras.layers.Concatenate(name=f"up{level}_concat")([skips[level], x])
        for index in (1, 2):
            x = conv_norm_relu(x, widths[level], f"up{level}_{index}")
    activation_map, class_maps, logits = _heads(x, num_classes, logit_scale)
    outputs = {"activation_map": activation_map, "class_maps": class_maps, "logits": logits}
    return keras.Model(inputs, outputs, name="generator")


def _heads(x, num_classes: int, logit_scale: float):
    """Maps the decoder's features [B, h, w, c] to the activation map [B, h, w, 1], class maps and logits [B, k].

    In float32, whatever the policy: thresholds, entropies and boxes are read from the map.
    """
    to_class_maps = _ClassMaps(num_classes, dtype="float32", name="class_maps")
    # Nothing below reads the class maps themselves: a graph computes them only for those who do.
    class_maps, kernel, bias = to_class_maps(x)  # [B, h, w, k], [1, 1, c, k], [k]
    score = _ScoreOfClassMaps(dtype="float32", name="map_conv")([x, kernel, bias])
    score = batch_norm("map_norm", dtype="float32")(score)
    score = keras.layers.Rescaling(logit_scale, dtype="float32", name="logit_scale")(score)
    activation_map = keras.layers.Activation("sigmoid", dtype="float32", name="activation_map")(score)

    # The mean over the pixels changes places with both 1x1 convolutions.
    mean = keras.layers.GlobalAveragePooling2D(keepdims=True, dtype="float32", name="mean_of_features")(x)
    mean_class_maps, _, _ = to_class_maps(mean)  # [B, 1, 1, k]
    logits = keras.layers.Conv2D(num_classes, 1, dtype="float32", name="auxiliary_conv")(mean_class_maps)
    return activation_map, class_maps, keras.layers.Flatten(dtype="float32", name="auxiliary_logits")(logits)


class _ClassMaps(keras.layers.Layer):
    """The 1x1 convolution W x + b of features to class maps, which also hands out W [1, 1, c, k] and b [k]."""

    def __init__(self, num_classes: int, **options):
        super().__init__(**options)
        self._num_classes = num_classes

    def build(self, input_shape):
        shape = (1, 1, input_shape[-1], self._num_classes)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer="glorot_uniform", trainable=True)
        self.bias = self.add_weight(name="bias", shape=shape[-1:], initializer="zeros", trainable=True)
        super().build(input_shape)

    def call(self, inputs):
        kernel, bias = tf.convert_to_tensor(self.kernel), tf.convert_to_tensor(self.bias)
        return tf.nn.conv2d(inputs, kernel, strides=1, padding="SAME") + bias, kernel, bias

    def compute_output_shape(self, input_shape):
        classes = self._num_classes
        return (*input_shape[:-1], classes), (1, 1, input_shape[-1], classes), (classes,)


class _ScoreOfClassMaps(keras.layers.Layer):
    """The 3x3 convolution of all class maps to one score, zero-padded, without a bias: from x, and W and b of W x + b.

    The kernels of both convolutions are multiplied first: k class maps become nine maps, one for each place of the
    3x3 window, that are shifted there and added. What is shifted in at the borders is 0, so b counts inside only.
    """

    def build(self, input_shape):
        num_classes = input_shape[1][-1]
        self.kernel = self.add_weight(
            name="kernel", shape=(3, 3, num_classes, 1), initializer="glorot_uniform", trainable=True
        )
        super().build(input_shape)

    def call(self, inputs):
        x, weight, bias = inputs  # [B, h, w, c], [1, 1, c, k], [k]
        kernel = tf.reshape(tf.convert_to_tensor(self.kernel), [9, -1])  # [9, k]
        of_features = tf.matmul(weight, kernel, transpose_b=True)  # [1, 1, c, 9]
        nine = tf.nn.conv2d(x, of_features, strides=1, padding="SAME") + tf.linalg.matvec(kernel, bias)
        # A convolution with 0 and 1 shifts and adds; to one channel right away it would take twice the time on CPUs.
        return tf.nn.conv2d(nine, tf.reshape(tf.eye(9), [3, 3, 9, 1]), strides=1, padding="SAME")

    def compute_output_shape(self, input_shape):
        return (*input_shape[0][:-1], 1)
