"""Layers that several models use, and functions for the layers of functional models."""
from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf

from ornet_tf import randomness
from ornet_tf.compat import keras, tf_variable
from ornet_tf.errors import UserError
from ornet_tf.models import winograd

# The RGB means of ImageNet, which the released weights of VGG16 (Simonyan and Zisserman, ICLR 2015) and ResNet50 expect
# to be subtracted.
IMAGENET_MEAN_RGB = (123.68, 116.779, 103.939)


class CaffeNormalization(keras.layers.Layer):
    """Maps RGB 0..255 to BGR minus the ImageNet mean, the input of the released weights of VGG16 and ResNet50."""

    def call(self, inputs):  # noqa: D102 - of the base class
        return inputs[..., ::-1] - tf.constant(IMAGENET_MEAN_RGB[::-1], inputs.dtype)

    def compute_output_shape(self, input_shape):  # noqa: D102 - of the base class
        return input_shape


class Conv3x3(keras.layers.Conv2D):
    """A 3x3 convolution with stride 1 and zero padding; `winograd.enable` makes it faster while it is frozen."""

    def __init__(self, filters: int, **options):
        """Takes the options of `Conv2D` other than kernel size, strides, padding, dilation, groups and layout."""
        super().__init__(filters, 3, padding="same", data_format="channels_last", **options)

    def get_config(self):  # noqa: D102 - of the base class
        fixed = ("kernel_size", "strides", "padding", "data_format", "dilation_rate", "groups")
        return {key: value for key, value in super().get_config().items() if key not in fixed}

    def call(self, inputs):  # noqa: D102 - of the base class
        batch, *sizes = inputs.shape
        is_faster = winograd.is_faster(*sizes, self.filters, batch, trainable=self.trainable)
        if not (is_faster and self.compute_dtype == "float32"):
            return super().call(inputs)
        outputs = winograd.convolve(inputs, tf_variable(self.kernel))
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, tf.convert_to_tensor(self.bias))
        return self.activation(outputs)


class BatchNorm(keras.layers.BatchNormalization):
    """Batch normalization that trains with TensorFlow's fused kernel, which Keras 3 does not use.

    On CPUs the fused kernel is about three times as fast. The moving variance is that of Keras 3: the variance of N
    values without the factor N / (N - 1).

    Attributes:
      is_folded: whether the convolution before the layer normalizes already; see `freeze_untrained`.
    """

    is_folded = False

    def call(self, inputs, training=None):  # noqa: D102 - of the base class
        if self.is_folded:
            return inputs
        is_fit = training and self.trainable and not self.synchronized and inputs.dtype == tf.float32
        if not is_fit:
            return super().call(inputs, training=training)
        scale, offset = tf.convert_to_tensor(self.gamma), tf.convert_to_tensor(self.beta)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs, scale=scale, offset=offset, mean=[], variance=[], epsilon=self.epsilon, is_training=True
        )
        count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), tf.float32)
        self._follow(self.moving_mean, mean)
        self._follow(self.moving_variance, variance * ((count - 1.0) / count))
        return outputs

    def factor_and_offset(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns what each channel is multiplied by in inference, and what is then added: float32 [C] each."""
        mean, variance = tf.convert_to_tensor(self.moving_mean), tf.convert_to_tensor(self.moving_variance)
        factor = tf.convert_to_tensor(self.gamma) * tf.math.rsqrt(variance + self.epsilon)
        return factor, tf.convert_to_tensor(self.beta) - mean * factor

    def _follow(self, moving, value):
        moving.assign(tf.convert_to_tensor(moving) * self.momentum + value * (1.0 - self.momentum))


class NormalizedConv(Conv3x3):
    """A convolution without a bias before a `BatchNorm`. If both are frozen, its kernel and a bias normalize.

    Keras 2 names the operation after the class, and TensorFlow allows no underscore at the start of such a name.
    """

    def __init__(self, filters: int, norm: BatchNorm, **options):
        """Keeps the normalization after it, out of sight of Keras, which would count its weights twice."""
        super().__init__(filters, use_bias=False, kernel_initializer="he_normal", **options)
        self._norm = lambda: norm

    def fold_if_frozen(self) -> None:
        """Lets the convolution normalize if neither layer is trained and both compute in float32.

        With many channels Winograd's filtering saves more. It needs the kernel itself.
        """
        layers = (self, self._norm())
        is_frozen = not any(layer.trainable or layer.compute_dtype != "float32" for layer in layers)
        self._norm().is_folded = is_frozen and min(self.kernel.shape[-2:]) < winograd.MIN_CHANNELS

    def call(self, inputs):  # noqa: D102 - of the base class
        if not self._norm().is_folded:
            return super().call(inputs)
        factor, offset = self._norm().factor_and_offset()
        kernel = tf.convert_to_tensor(self.kernel) * factor
        return tf.nn.bias_add(tf.nn.conv2d(inputs, kernel, strides=1, padding="SAME"), offset)


def freeze_untrained(model: keras.Model, trained: Iterable[tf.Variable]) -> None:
    """Freezes the layers of a model that have none of the `trained` variables.

    Frozen convolutions are faster, and `split_behind_frozen` finds frozen layers. Layers with statistics stay as they
    are: batch normalization would no longer use the statistics of the batch. If it is frozen too, the convolution
    before it normalizes.
    """
    trained = {id(variable) for variable in trained}
    for layer in model.layers:
        if layer.weights and not _statistics_of_layer(layer) and not trained.intersection(map(id, layer.weights)):
            layer.trainable = False
        if isinstance(layer, NormalizedConv):
            layer.fold_if_frozen()


def split_behind_frozen(model: keras.Model, output: Any) -> tuple[keras.Model, keras.Model] | None:
    """Splits a functional model at the deepest tensor that no training step changes.

    Args:
      model: a functional model with one input. Its untrained layers are frozen; see `freeze_untrained`.
      output: the output of `model` that is needed.

    Returns:
      The frozen layers and the rest, which share the layers of `model`; None if its first layer is not frozen.
    """
    frozen = []
    for layer in (layer for layer in model.layers if not _is_input(layer)):
        follows_batches = layer.trainable and _statistics_of_layer(layer)  # frozen normalization runs as in inference
        if layer.trainable_weights or follows_batches or getattr(layer, "rate", 0):  # of dropout
            break
        frozen.append(layer)
    for layer in reversed(frozen):
        with contextlib.suppress(ValueError):  # a later layer also reads an earlier tensor, such as a skip connection
            return keras.Model(model.inputs, layer.output), keras.Model(layer.output, output)
    return None


class ExampleDropout(keras.layers.Layer):
    """Dropout whose choice is a function of each example's key; Keras's own uses a state that replicas share.

    In training it must be called inside `randomness.examples`; in inference it returns its input.
    """

    def __init__(self, rate: float, **options):
        """Keeps the share of elements that are dropped; the other elements are scaled by 1 / (1 - rate).

        Raises:
          UserError: unless 0 <= rate < 1.
        """
        super().__init__(**options)
        if not 0.0 <= rate < 1.0:
            raise UserError(f"dropout: expected a rate of at least 0 and below 1, got {rate!r}.")
        self.rate = rate

    def get_config(self):  # noqa: D102 - of the base class
        return {**super().get_config(), "rate": self.rate}

    def call(self, inputs, training=None):  # noqa: D102 - of the base class
        if not training or not self.rate:
            return inputs
        keys = randomness.keys_of_examples()
        if keys is None:
            raise ValueError(f"{self.name}: call dropout in training inside `randomness.examples(keys)`.")
        kept = randomness.uniform_like(inputs, keys, f"dropout/{self.name}") >= self.rate
        return tf.where(kept, inputs / (1.0 - self.rate), tf.zeros_like(inputs))

    def compute_output_shape(self, input_shape):  # noqa: D102 - of the base class
        return input_shape


def batch_norm(name: str, *, momentum: float = 0.9, epsilon: float = 1e-5, **options) -> BatchNorm:
    """Returns a batch normalization whose statistics span all replicas of the strategy in scope."""
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    return BatchNorm(momentum=momentum, epsilon=epsilon, synchronized=replicas > 1, name=name, **options)


def conv_norm_relu(x, filters: int, name: str):
    """Applies a 3x3 convolution without bias, batch normalization and ReLU: [B, h, w, c] -> [B, h, w, filters]."""
    norm = batch_norm(f"{name}_norm")
    x = norm(NormalizedConv(filters, norm, name=f"{name}_conv")(x))
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def statistics(model: keras.Model) -> list[tf.Variable]:
    """Returns the variables of a functional model that training changes without gradients.

    These are the moving mean and variance of batch normalization, and the attribute `statistics` of other layers.
    """
    variables = []
    for layer in model.layers:
        variables += _statistics_of_layer(layer)
    return variables


def _statistics_of_layer(layer: keras.layers.Layer) -> list[tf.Variable]:
    if isinstance(layer, keras.Model):
        return statistics(layer)
    if isinstance(layer, keras.layers.BatchNormalization):
        return [layer.moving_mean, layer.moving_variance]
    return getattr(layer, "statistics", [])


def insert_after(model: keras.Model, inserted: Mapping[str, keras.layers.Layer]) -> keras.Model:
    """Returns a copy of a functional model with further layers inserted.

    Args:
      model: a functional model whose layers are each called once, with tensors only. It is not changed, and the new
        model uses the same layers and weights.
      inserted: name of a layer of `model` -> the layer to insert after it.
    """
    new_tensors = {id(tensor): tensor for tensor in model.inputs}  # id of a tensor of `model` -> its replacement
    # These are read before any layer is called again: afterwards a layer has two inputs and two outputs.
    calls = [(layer, layer.input, layer.output) for layer in model.layers if not _is_input(layer)]
    for layer, inputs, output in calls:
        x = layer(tf.nest.map_structure(lambda tensor: new_tensors[id(tensor)], inputs))
        new_tensors[id(output)] = inserted[layer.name](x) if layer.name in inserted else x
    outputs = tf.nest.map_structure(lambda tensor: new_tensors[id(tensor)], model.output)
    return keras.Model(model.inputs, outputs, name=model.name)


def _is_input(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.layers.InputLayer)
