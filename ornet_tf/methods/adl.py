"""Attention-based dropout layer (ADL; Choe and Shim, CVPR 2019): hides where features respond most; the map is CAM."""
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
    """The layer (section 3): features [B, h, w, C] times a drop mask or an importance map, at random; no weights.

    Both come from the self-attention map, the mean over the channels. The drop mask is 0 where that is above gamma
    times its maximum and 1 elsewhere; the importance map is its sigmoid. In inference the layer does nothing.

    The paper draws one of the two in each iteration, the released code for a whole batch. Here each example draws its
    own, from its key and for each layer, so that a run doesn't depend on how batches are split over devices.
    """

    def __init__(self, drop_rate: float, gamma: float, **options):
        """Takes the probability of the drop mask and its threshold, both 0..1."""
        super().__init__(**options)
        self._drop_rate, self._gamma = drop_rate, gamma

    def call(self, inputs, training=None):  # noqa: D102 - of the base class
        if not training:
            return inputs
        keys = randomness.keys_of_examples()
        if keys is None:
            raise ValueError(f"{self.name}: training with ADL has to happen inside `randomness.examples(keys)`.")
        attention = tf.reduce_mean(tf.cast(inputs, tf.float32), axis=-1, keepdims=True)  # [B, h, w, 1]
        highest = tf.reduce_max(attention, axis=[1, 2, 3], keepdims=True)
        drop_mask = 1.0 - tf.cast(attention > self._gamma * highest, tf.float32)
        drops = randomness.uniform(keys, [1, 1, 1], f"adl/{self.name}") < self._drop_rate  # [B, 1, 1, 1]
        return inputs * tf.cast(tf.where(drops, drop_mask, tf.sigmoid(attention)), inputs.dtype)

    def compute_output_shape(self, input_shape):  # noqa: D102 - of the base class
        return input_shape


class Method(cam.Method):
    """Trains the classifier with such layers between its own; the plain classifier, without them, is what it learns.

    So `lower` and `upper` have the layers of every other classifier's: any map can be read from them, and they can
    start from those of another phase.
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
            the last feature map: with VGG16 cut after block2_pool these are the paper's pool3, pool4 and conv5_3.
          drop_rate: probability of the drop mask, 0..1; 0.75 is the paper's.
          gamma: threshold of the drop mask, in shares of the highest attention, 0..1; 0.8 is the paper's with VGG16.

        Raises:
          UserError: if an option is out of range, there is no such layer, or CAM can't be read from the backbone.
        """
        for name, value in (("drop_rate", drop_rate), ("gamma", gamma)):
            if not 0 <= value <= 1:
                raise UserError(f"{name}: expected 0..1, got {value!r}.")
        super().__init__(builders)
        self.trainable_variables = named_variables(self.parts)
        names = _default_places(self._upper) if after is None else tuple(after)
        choices = [layer.name for part in self.parts.values() for layer in part.layers if _gives_maps(layer)]
        for name in names:
            if name not in choices:
                raise UserError(f"after: no layer {name!r} that gives feature maps; choose from {', '.join(choices)}.")
        inserted = {name: AttentionBasedDropout(drop_rate, gamma, name=f"{name}_adl") for name in names}
        self._dropping_lower, self._dropping_upper = (insert_after(p, inserted) for p in (self._lower, self._upper))

    def forward(self, batch, *, training):
        """Returns "logits" [B, K]; but for training what `predict` returns."""
        if not training:
            return self.predict(batch["image"])
        with randomness.examples(batch["key"]):
            features = self._dropping_lower(self._normalize(batch["image"]), training=True)
            return {"logits": self._dropping_upper(features, training=True)["logits"]}


def _gives_maps(layer) -> bool:
    return not isinstance(layer, keras.layers.InputLayer) and len(layer.output.shape) == 4


def _default_places(upper) -> tuple[str, ...]:
    pooling = (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)
    features = upper.output["features"]
    return tuple(layer.name for layer in upper.layers if isinstance(layer, pooling) or layer.output is features)
