"""VGG16 (Simonyan and Zisserman, ICLR 2015), split in two, with the layer names of Keras Applications."""
from __future__ import annotations

from collections.abc import Iterator, Sequence

from ornet_tf.backbones import Backbone, _keras_applications
from ornet_tf.compat import keras
from ornet_tf.errors import UserError
from ornet_tf.models.layers import CaffeNormalization, Conv3x3, ExampleDropout
from ornet_tf.models.pooling import CrossDimensionalPooling

BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))  # (convolutions, filters)
HEADS = ("gap", "cross_dimensional", "fully_connected")


def build(
    *,
    image_size: int,
    num_classes: int,
    split: str = "block2_pool",
    weights: str | None = "imagenet",
    head: str = "gap",
    dropout: float = 0.0,
) -> Backbone:
    """Builds VGG16 in two parts.

    Args:
      image_size: height and width of the input in pixels; a multiple of 32.
      num_classes: K, the number of outputs.
      split: the last layer of the lower part (paper, section 3.1): a block's pooling layer, or its last convolution,
        which has twice the resolution. `block2_pool` gives 56x56x128 for 224 pixels, `block4_conv3` 28x28x512.
      weights: `imagenet` (a download), the path of a weights file in the Keras layout, or None (random).
      head: `gap` ends in block5_conv3, global average pooling and one dense layer, as CAM needs it. In
        `cross_dimensional`, positions are weighted by their strength instead, see `ornet_tf.models.pooling`.
        `fully_connected` is the original head with block5_pool, fc1 and fc2.
      dropout: rate before the last dense layer and, as in the original, between fc1 and fc2.

    If `weights` has no values for the last dense layer, that layer starts from zeros: a few steps on few images can't
    correct random start weights.

    Returns:
      The three models. "features" of the upper one is block5_conv3 [B, S/16, S/16, 512], or the input of the upper part
      if the split is block5_pool.

    Raises:
      UserError: for a wrong split, head or size, or if `weights` is an empty string, a URL or the file
        of another model.
      FileNotFoundError: if `weights` is neither a name nor a file.
      OSError: if the weights of `imagenet` can't be downloaded.
    """
    pools = [f"block{block}_pool" for block in range(1, 6 if head == "fully_connected" else 5)]
    splits = [*pools, *(f"block{block}_conv{count}" for block, (count, _) in enumerate(BLOCKS[:-1], start=1))]
    if head not in HEADS:
        raise UserError(f"head: expected one of {', '.join(HEADS)}, got {head!r}.")
    if split not in splits:
        raise UserError(f"split: expected one of {', '.join(splits)} with head {head!r}, got {split!r}.")
    if image_size % 32:
        raise UserError(f"image_size: expected a multiple of 32 for VGG16, got {image_size}.")
    shape = (image_size, image_size, 3)
    pixels = keras.Input(shape, name="image")
    centred = CaffeNormalization(dtype="float32", name="caffe_normalization")(pixels)
    normalize = keras.Model(pixels, centred, name="normalize")

    x = inputs = keras.Input(shape, name="normalized_image")
    last_conv = None
    for layer in _layers(pools):
        x = layer(x)
        last_conv = last_conv if "pool" in layer.name else x
        if split == layer.name:
            lower = keras.Model(inputs, x, name="lower")
            x = upper_inputs = keras.Input(x.shape[1:], name="low_level_features")
            last_conv = last_conv if split != "block5_pool" else x
    if head == "gap":
        x = keras.layers.GlobalAveragePooling2D(dtype="float32", name="gap")(x)
    elif head == "cross_dimensional":
        x = CrossDimensionalPooling(name="cross_dimensional")(x)
    else:
        x = keras.layers.Flatten(name="flatten")(x)
        x = keras.layers.Dense(4096, activation="relu", name="fc1")(x)
        x = ExampleDropout(dropout, name="fc1_dropout")(x)
        x = keras.layers.Dense(4096, activation="relu", name="fc2")(x)
    x = ExampleDropout(dropout, name="dropout")(x)
    start = "glorot_uniform" if weights is None else "zeros"
    logits = keras.layers.Dense(num_classes, kernel_initializer=start, dtype="float32", name="predictions")(x)
    upper = keras.Model(upper_inputs, {"features": last_conv, "logits": logits}, name="upper")
    pretrained = frozenset()
    if weights is not None:
        pretrained = _keras_applications.copy_weights(
            "VGG16", weights, (lower, upper), include_top=head == "fully_connected"
        )
    return Backbone(normalize, lower, upper, pretrained)


def _layers(pools: Sequence[str]) -> Iterator[keras.layers.Layer]:
    """Yields the convolutions of all blocks, and after each block its pooling layer if that is among `pools`."""
    for block, (convolutions, filters) in enumerate(BLOCKS, start=1):
        for index in range(1, convolutions + 1):
            yield Conv3x3(filters, activation="relu", name=f"block{block}_conv{index}")
        if f"block{block}_pool" in pools:
            yield keras.layers.MaxPooling2D(2, name=f"block{block}_pool")
