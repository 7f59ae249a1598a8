"""ResNet50 (He et al., CVPR 2016), split in two, with the layer names of Keras Applications."""
from __future__ import annotations

from ornet_tf.backbones import Backbone, _keras_applications
from ornet_tf.compat import keras
from ornet_tf.errors import UserError
from ornet_tf.models.layers import CaffeNormalization, Conv3x3, ExampleDropout, batch_norm

STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))  # conv2 to conv5: (filters, blocks)
SPLITS = [f"conv{i}_block{j}_out" for i, (_, blocks) in enumerate(STAGES, start=2) for j in range(1, blocks + 1)][2:-1]
STRIDES = {32: (1, 2, 2, 2), 16: (1, 2, 2, 1), 8: (1, 2, 1, 1)}  # output_stride -> strides of conv2 to conv5


def build(
    *,
    image_size: int,
    num_classes: int,
    split: str = "conv2_block3_out",
    weights: str | None = "imagenet",
    output_stride: int = 32,
    freeze_norm: bool = False,
    dropout: float = 0.0,
) -> Backbone:
    """Builds ResNet50 in two parts.

    Args:
      image_size: height and width of the input in pixels; a multiple of 32.
      num_classes: K, the number of outputs.
      split: the last layer of the lower part: the end of a block, from `conv2_block3_out` to `conv5_block2_out`. The
        default gives 56x56x256 for 224 pixels, the resolution of VGG16's default split.
      weights: `imagenet` (a download), the path of a weights file in the Keras layout, or None (random).
      output_stride: pixels of the image per position of the last feature map. 32 is the original (7x7 for 224 pixels).
        With 16, conv5 keeps the resolution of its input. With 8, conv4 does so too (28x28), as in wsolevaluation (Choe
        et al., CVPR 2020); conv4 then takes 4 times and conv5 16 times as long. The weights are the same.
      freeze_norm: whether batch normalization is not trained and always uses its stored statistics. Set it if the
        convolutions are not trained either: the last features then do not change and can be cached.
      dropout: rate before the last dense layer.

    If `weights` has no values for the last dense layer, that layer starts from zeros, as in `vgg16`. Only a file with
    that layer has them, and only for 1000 classes.

    Returns:
      The three models. "features" of the upper one is conv5_block3_out [B, S/output_stride, S/output_stride, 2048].

    Raises:
      UserError: for a wrong split, output stride or size, or if `weights` is an empty string, a URL or the file of
        another model.
      FileNotFoundError: if `weights` is neither a name nor a file.
      OSError: if the weights of `imagenet` can't be downloaded.
    """
    if split not in SPLITS:
        raise UserError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}.")
    if output_stride not in STRIDES:
        raise UserError(f"output_stride: expected one of {', '.join(map(str, STRIDES))}, got {output_stride!r}.")
    if image_size % 32:
        raise UserError(f"image_size: expected a multiple of 32 for ResNet50, got {image_size}.")
    shape = (image_size, image_size, 3)
    pixels = keras.Input(shape, name="image")
    centred = CaffeNormalization(dtype="float32", name="caffe_normalization")(pixels)
    normalize = keras.Model(pixels, centred, name="normalize")

    x = inputs = keras.Input(shape, name="normalized_image")
    x = keras.layers.ZeroPadding2D(3, name="conv1_pad")(x)
    x = keras.layers.ReLU(name="conv1_relu")(_conv_norm(x, 64, "conv1", size=7, strides=2))
    x = keras.layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = keras.layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)
    for stage, ((filters, blocks), strides) in enumerate(zip(STAGES, STRIDES[output_stride]), start=2):
        for block in range(1, blocks + 1):
            name = f"conv{stage}_block{block}"
            x = _block(x, filters, name, strides=strides if block == 1 else 1, projects=block == 1)
            if split == f"{name}_out":
                lower = keras.Model(inputs, x, name="lower")
                x = upper_inputs = keras.Input(x.shape[1:], name="low_level_features")
    pooled = keras.layers.GlobalAveragePooling2D(dtype="float32", name="gap")(x)
    pooled = ExampleDropout(dropout, name="dropout")(pooled)
    start = "glorot_uniform" if weights is None else "zeros"
    logits = keras.layers.Dense(num_classes, kernel_initializer=start, dtype="float32", name="predictions")(pooled)
    upper = keras.Model(upper_inputs, {"features": x, "logits": logits}, name="upper")
    pretrained = frozenset()
    if weights is not None:
        pretrained = _keras_applications.copy_weights(
            "ResNet50", weights, (lower, upper), include_top=num_classes == 1000
        )
    if freeze_norm:
        for layer in (*lower.layers, *upper.layers):
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
    return Backbone(normalize, lower, upper, pretrained)


def _block(x, filters: int, name: str, *, strides: int, projects: bool):
    """Adds a bottleneck to its input, or to a 1x1 convolution of it: [B, h, w, c] -> [B, h/s, w/s, 4 * filters]."""
    shortcut = _conv_norm(x, 4 * filters, f"{name}_0", strides=strides) if projects else x
    x = keras.layers.ReLU(name=f"{name}_1_relu")(_conv_norm(x, filters, f"{name}_1", strides=strides))
    x = keras.layers.ReLU(name=f"{name}_2_relu")(_conv_norm(x, filters, f"{name}_2", size=3))
    x = _conv_norm(x, 4 * filters, f"{name}_3")
    x = keras.layers.Add(name=f"{name}_add")([shortcut, x])
    return keras.layers.ReLU(name=f"{name}_out")(x)


def _conv_norm(x, filters: int, name: str, *, size: int = 1, strides: int = 1):
    """Applies a convolution and batch normalization; only size 3, which needs stride 1, pads its input."""
    if size == 3:
        conv = Conv3x3(filters, name=f"{name}_conv")
    else:
        conv = keras.layers.Conv2D(filters, size, strides=strides, name=f"{name}_conv")
    return batch_norm(f"{name}_bn", momentum=0.99, epsilon=1.001e-5)(conv(x))  # as in Keras
