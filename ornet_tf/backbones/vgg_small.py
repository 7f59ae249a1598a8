"""A small VGG-like classifier with batch normalization, which learns toy data from scratch in minutes on a CPU."""
from __future__ import annotations

from collections.abc import Sequence

from ornet_tf.backbones import Backbone
from ornet_tf.compat import keras
from ornet_tf.errors import UserError
from ornet_tf.models.layers import ExampleDropout, conv_norm_relu


def build(
    *,
    image_size: int,
    num_classes: int,
    split: str = "block2_pool",
    blocks: Sequence[Sequence[int]] = ((16, 24), (32, 32), (48,), (64,)),
    dropout: float = 0.0,
) -> Backbone:
    """Builds the classifier in two parts.

    Args:
      image_size: height and width of the input in pixels; a multiple of 2 ** (number of blocks - 1).
      num_classes: K, the number of outputs.
      split: the last layer of the lower part, a pooling layer; `block2_pool` gives [S/4, S/4, 32].
      blocks: the filters of the convolutions of each block. All blocks but the last end in 2x2 max pooling.
      dropout: rate before the dense layer.

    Returns:
      The three models; "features" of the upper one is the output of the last block.

    Raises:
      UserError: for an unknown split or an image size that does not fit.
    """
    splits = [f"block{i + 1}_pool" for i in range(len(blocks) - 1)]
    if split not in splits:
        raise UserError(f"split: expected one of {', '.join(splits)}, got {split!r}.")
    if image_size % 2 ** len(splits):
        raise UserError(f"image_size: expected a multiple of {2 ** len(splits)}, got {image_size}.")
    shape = (image_size, image_size, 3)
    pixels = keras.Input(shape, name="image")
    centred = keras.layers.Rescaling(1 / 64.0, offset=-2.0, dtype="float32", name="rescaling")(pixels)
    normalize = keras.Model(pixels, centred, name="normalize")

    x = inputs = keras.Input(shape, name="normalized_image")
    for block, widths in enumerate(blocks, start=1):
        for index, filters in enumerate(widths, start=1):
            x = conv_norm_relu(x, filters, f"block{block}_{index}")
        if block < len(blocks):
            x = keras.layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
        if split == f"block{block}_pool":
            lower = keras.Model(inputs, x, name="lower")
            x = upper_inputs = keras.Input(x.shape[1:], name="low_level_features")
    pooled = keras.layers.GlobalAveragePooling2D(dtype="float32", name="gap")(x)
    pooled = ExampleDropout(dropout, name="dropout")(pooled)
    logits = keras.layers.Dense(num_classes, dtype="float32", name="predictions")(pooled)
    upper = keras.Model(upper_inputs, {"features": x, "logits": logits}, name="upper")
    return Backbone(normalize, lower, upper)
