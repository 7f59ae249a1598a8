"""The activation map generator: an encoder-decoder on low-level features (paper, section 3.1, Eq. 2 and 4).

The paper gives neither its layers nor their sizes; they are our choice, and so is the sigmoid after Eq. 2.

Between the decoder's last features x and the batch normalization of the map all operations are linear. Both heads are
therefore computed from x directly, without the k class maps W x + b: with 1,000 classes these would cost more than the
rest of the generator. Weights and outputs are the same as if they were computed.
"""
from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from ornet_tf.compat import keras
from ornet_tf.errors import UserError
from ornet_tf.models.layers import batch_norm, conv_norm_relu

_MAX_LEVELS, _MAX_CHANNELS = 20, 2**20  # far more than fits into memory


def check_options(where: str, *, base_width: int, depth: int, growth: float, logit_scale: float) -> None:
    """Checks the values of the options of `build`.

    Args:
      where: the config path of the options.
      base_width: see `build`.
      depth: see `build`.
      growth: see `build`.
      logit_scale: see `build`.

    Raises:
      UserError: if a number is out of range, or a level would have no channel or far too many channels.
    """
    if not 1 <= depth <= _MAX_LEVELS:
        raise UserError(f"{where}.depth: expected a whole number from 1 to {_MAX_LEVELS}, got {depth!r}.")
    if not 1 <= base_width <= _MAX_CHANNELS:
        raise UserError(f"{where}.base_width: expected a whole number from 1 to {_MAX_CHANNELS}, got {base_width!r}.")
    for key, value in (("growth", growth), ("logit_scale", logit_scale)):
        if not 0 < value < math.inf:
            raise UserError(f"{where}.{key}: expected a positive number, got {value!r}.")
    log2_channels = math.log2(base_width) + depth * math.log2(growth)  # the power itself could overflow
    if not 0 <= round(log2_channels, 6) <= math.log2(_MAX_CHANNELS):
        raise UserError(
            f"{where}.growth: expected base_width * growth ** depth to be 1 to {_MAX_CHANNELS} channels, got "
            f"{base_width!r} * {growth!r} ** {depth!r}."
        )


def build(
    feature_shape: Sequence[int],
    *,
    num_classes: int,
    last_shape: Sequence[int] | None = None,
    base_width: int = 64,
    depth: int = 3,
    growth: float = 2.0,
    logit_scale: float = 1.0,
) -> keras.Model:
    """Builds the U-Net-like generator and its two heads.

    Args:
      feature_shape: (h, w, C) of the low-level features; h and w are multiples of 2 ** depth.
      num_classes: k, the channels of the class maps.
      last_shape: (h', w', D) of a classifier's last features, if the generator reads these as well; not in the paper.
        They join the encoder at its level of h' x w'.
      base_width: channels of the first encoder level.
      depth: how often the encoder halves the resolution.
      growth: factor of the channels from one level to the next.
      logit_scale: factor between the map's batch normalization and its sigmoid. Not in the paper: 1 has no effect.
        With a larger one the map becomes nearly binary in fewer steps.

    Returns:
      A functional model: features [B, h, w, C] -> {"activation_map": [B, h, w, 1] in (0, 1), p^a of Eq. 2 after a
      sigmoid, "class_maps": [B, h, w, k], f^a of Eq. 2, "logits": [B, k] of the auxiliary head (Eq. 4)}. With
      `last_shape` it takes a list: the low-level features and last features [B, h', w', D].

    Raises:
      UserError: if an option is out of range, h or w is not a multiple of 2 ** depth, or no level has h' x w'.
    """
    check_options("generator", base_width=base_width, depth=depth, growth=growth, logit_scale=logit_scale)
    height, width, _ = feature_shape
    if height % 2**depth or width % 2**depth:
        raise UserError(
            f"generator.depth: features of {height}x{width} can't be halved {depth} times; choose a smaller depth."
        )
    widths = [round(base_width * growth**level) for level in range(depth + 1)]
    x = low_level = keras.Input(tuple(feature_shape), name="low_level_features")
    last = None if last_shape is None else keras.Input(tuple(last_shape), name="last_features")
    last_level = None if last_shape is None else _find_level(feature_shape, last_shape, depth)
    skips = []
    for level, filters in enumerate(widths):
        if level:
            x = keras.layers.MaxPooling2D(2, name=f"down{level}_pool")(x)
        if level == last_level:
            x = keras.layers.Concatenate(name="last_concat")([x, conv_norm_relu(last, base_width, "last")])
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
    return keras.Model(low_level if last is None else [low_level, last], outputs, name="generator")


def _find_level(feature_shape: Sequence[int], last_shape: Sequence[int], depth: int) -> int:
    """Returns the level of the encoder that has the resolution of the last features."""
    (height, width), resolution = feature_shape[:2], tuple(last_shape[:2])
    levels = [(height // 2**level, width // 2**level) for level in range(depth + 1)]
    if resolution not in levels:
        raise UserError(
            f"generator.depth: expected a level of {resolution[0]}x{resolution[1]}, the last features of the "
            f"classifier, got {', '.join(f'{h}x{w}' for h, w in levels)}; choose a larger depth, or another split."
        )
    return levels.index(resolution)


def map_part(generator: keras.Model) -> keras.Model:
    """Returns the layers that a generator's map needs: its inputs -> activation map [B, h, w, 1]."""
    return keras.Model(generator.inputs, generator.output["activation_map"], name="generator_map")


def _heads(x, num_classes: int, logit_scale: float):
    """Maps the decoder's features [B, h, w, c] to the activation map [B, h, w, 1], class maps and logits [B, k].

    The heads compute in float32 under any dtype policy: thresholds, entropies and boxes depend on the exact map.
    """
    to_class_maps = _ClassMaps(num_classes, dtype="float32", name="class_maps")
    # The heads don't use the class maps themselves, so a graph computes them only if they are among its outputs.
    class_maps, kernel, bias = to_class_maps(x)  # [B, h, w, k], [1, 1, c, k], [k]
    score = _ScoreOfClassMaps(dtype="float32", name="map_conv")([x, kernel, bias])
    score = batch_norm("map_norm", dtype="float32")(score)
    score = keras.layers.Rescaling(logit_scale, dtype="float32", name="logit_scale")(score)
    activation_map = keras.layers.Activation("sigmoid", dtype="float32", name="activation_map")(score)

    # The mean over the pixels and the two 1x1 convolutions are linear, so the mean can come first.
    mean = keras.layers.GlobalAveragePooling2D(keepdims=True, dtype="float32", name="mean_of_features")(x)
    mean_class_maps, _, _ = to_class_maps(mean)  # [B, 1, 1, k]
    logits = keras.layers.Conv2D(num_classes, 1, dtype="float32", name="auxiliary_conv")(mean_class_maps)
    return activation_map, class_maps, keras.layers.Flatten(dtype="float32", name="auxiliary_logits")(logits)


class _ClassMaps(keras.layers.Layer):
    """The 1x1 convolution W x + b from features to class maps; it also returns W [1, 1, c, k] and b [k]."""

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
    """The zero-padded 3x3 convolution, without a bias, of the class maps W x + b to one score; its inputs are x, W, b.

    The kernels of both convolutions are multiplied first. This gives nine maps instead of k, one for each position of
    the 3x3 window, which are shifted to that position and added. Zeros are shifted in at the borders, so b counts only
    inside the map, as with zero-padded class maps.
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
        combined = tf.matmul(weight, kernel, transpose_b=True)  # [1, 1, c, 9]
        maps = tf.nn.conv2d(x, combined, strides=1, padding="SAME") + tf.linalg.matvec(kernel, bias)
        # This convolution with 0 and 1 shifts and adds. A single convolution from x takes twice as long on CPUs.
        return tf.nn.conv2d(maps, np.eye(9, dtype=np.float32).reshape(3, 3, 9, 1), strides=1, padding="SAME")

    def compute_output_shape(self, input_shape):
        return (*input_shape[0][:-1], 1)
