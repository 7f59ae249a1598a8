"""Attention-based dropout layer (ADL; Choe and Shim, CVPR 2019): drops the strongest features; the map is CAM."""
from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from ornet_tf import randomness
from ornet_tf.compat import keras
from ornet_tf.errors import UserError
from ornet_tf.methods import Builders, cam
from ornet_tf.models.layers import insert_after
from ornet_tf.models.variables import named_variables


class AttentionBasedDropout(keras.layers.Layer):
    """Multiplies features [B, h, w, C] by a drop mask or an importance map, at random (section 3). It has no weights.

    Both are computed from the self-attention map, the mean over the channels. The drop mask is 0 where the attention is
    above gamma times its maximum, and 1 elsewhere. The importance map is the sigmoid of the attention. In inference the
    layer returns its input.

    The paper chooses one of the two in each iteration, the released code for a whole batch. Here the choice is made for
    each example and each layer, from the example's key, so that a run doesn't depend on how batches are split over
    devices.
    """

    def __init__(self, drop_rate: float, gamma: float, **options):
        """Keeps the probability of the drop mask and its threshold `gamma`, both 0..1."""
        super().__init__(**options)
        self._drop_rate, self._gamma = drop_rate, gamma

    def call(self, inputs, training=None):  # noqa: D102 - of the base class
        if not training:
            return inputs
        keys = randomness.keys_of_examples()
        if keys is None:
            raise ValueError(f"{self.name}: call ADL in training inside `randomness.examples(keys)`.")
        attention = tf.reduce_mean(tf.cast(inputs, tf.float32), axis=-1, keepdims=True)  # [B, h, w, 1]
        highest = tf.reduce_max(attention, axis=[1, 2, 3], keepdims=True)
        drop_mask = 1.0 - tf.cast(attention > self._gamma * highest, tf.float32)
        drops = randomness.uniform(keys, [1, 1, 1], f"adl/{self.name}") < self._drop_rate  # [B, 1, 1, 1]
        return inputs * tf.cast(tf.where(drops, drop_mask, tf.sigmoid(attention)), inputs.dtype)

    def compute_output_shape(self, input_shape):  # noqa: D102 - of the base class
        return input_shape


class Method(cam.Method):
    """Trains the classifier with dropout layers inserted; inference uses the classifier without them.

    The parts `lower` and `upper` have no dropout layers. Other methods can therefore use them, and they can start from
    the parts of another phase.
    """

    def __init__(
        self,
        builders: Builders,
        *,
        after: Sequence[str] | None = None,
        drop_rate: float = 0.75,
        gamma: float = 0.8,
    ):
        """Builds the parts `lower` and `upper`; needs a `gap` head.

        Args:
          builders: see `Builders`.
          after: names of the backbone's layers that a dropout layer follows. None for all pooling layers of `upper` and
            the last feature map. For VGG16 split after block2_pool these are the paper's pool3, pool4 and conv5_3.
            For ResNet50, whose `upper` has no pooling layer, wsolevaluation uses conv4_block1_out, conv5_block1_out and
            conv5_block3_out.
          drop_rate: probability of the drop mask, 0..1; 0.75 in the paper.
          gamma: threshold of the drop mask as a share of the highest attention, 0..1; 0.8 in the paper for VGG16.

        Raises:
          UserError: if an option is out of range, there is no such layer, or the backbone's head doesn't allow CAM.
        """
        for name, value in (("drop_rate", drop_rate), ("gamma", gamma)):
            if not 0 <= value <= 1:
                raise UserError(f"{name}: expected 0..1, got {value!r}.")
        super().__init__(builders)
        self.trainable_variables = named_variables(self.parts)
        names = _default_layer_names(self._upper) if after is None else tuple(after)
        choices = [layer.name for part in self.parts.values() for layer in part.layers if _has_feature_maps(layer)]
        for name in names:
            if name not in choices:
                known = ", ".join(choices)
                raise UserError(f"after: expected layers with feature maps, got {name!r}; choose from {known}.")
        inserted = {name: AttentionBasedDropout(drop_rate, gamma, name=f"{name}_adl") for name in names}
        self._lower_with_dropout = insert_after(self._lower, inserted)
        self._upper_with_dropout = insert_after(self._upper, inserted)

    def forward(self, batch, *, training):
        """Returns "logits" [B, K] in training, else the outputs of `predict`."""
        if not training:
            return self.predict(batch["image"])
        with randomness.examples(batch["key"]):
            features = self._lower_with_dropout(self._normalize(batch["image"]), training=True)
            return {"logits": self._upper_with_dropout(features, training=True)["logits"]}


def _has_feature_maps(layer) -> bool:
    return not isinstance(layer, keras.layers.InputLayer) and len(layer.output.shape) == 4


def _default_layer_names(upper) -> tuple[str, ...]:
    pooling = (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)
    features = upper.output["features"]
    return tuple(layer.name for layer in upper.layers if isinstance(layer, pooling) or layer.output is features)
