"""The activation map generator: an encoder-decoder on low-level features (paper, section 3.1, Eq. 2-4)."""
from __future__ import annotations

from collections.abc import Sequence

from ornet_tf.compat import keras
from ornet_tf.layers import batch_norm, conv_norm_relu


def build(
    feature_shape: Sequence[int],
    *,
    num_classes: int,
    base_width: int = 64,
    depth: int = 3,
    growth: float = 2.0,
    map_gain: float = 1.0,
) -> keras.Model:
    """Builds the U-Net-like generator and its two heads.

    Args:
      feature_shape: (h, w, C) of the low-level features; h and w are multiples of 2 ** depth.
      num_classes: k, the channels of the class maps.
      base_width: channels of the first encoder level.
      depth: the number of times that the encoder halves the resolution.
      growth: factor of the channels from one level to the next.
      map_gain: factor between the map's batch normalisation and its sigmoid. The paper has 1; a larger one lets the
        map leave the grey middle in fewer steps.

    Returns:
      A functional model: features [B, h, w, C] -> {"activation_map": [B, h, w, 1] in (0, 1) (Eq. 3), "class_maps":
      [B, h, w, k] (Eq. 2), "logits": [B, k] of the auxiliary head (Eq. 4)}.

    Raises:
      ValueError: if h or w is not a multiple of 2 ** depth.
    """
    height, width, _ = feature_shape
    if height % 2**depth or width % 2**depth:
        raise ValueError(
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
    class_maps = keras.layers.Conv2D(num_classes, 1, name="class_maps")(x)  # [B, h, w, k]

    score = keras.layers.Conv2D(1, 3, padding="same", use_bias=False, name="map_conv")(class_maps)
    score = batch_norm("map_norm")(score)
    score = keras.layers.Rescaling(map_gain, name="map_gain")(score)
    # float32, whatever the policy: thresholds, entropies and boxes are read from it.
    activation_map = keras.layers.Activation("sigmoid", dtype="float32", name="activation_map")(score)

    logits = keras.layers.Conv2D(num_classes, 1, name="auxiliary_conv")(class_maps)
    logits = keras.layers.GlobalAveragePooling2D(name="auxiliary_logits")(logits)
    outputs = {"activation_map": activation_map, "class_maps": class_maps, "logits": logits}
    return keras.Model(inputs, outputs, name="generator")
