"""Stage one: generator and classifier learn together; the map gates the low-level features (paper, section 3.1)."""
from __future__ import annotations

import tensorflow as tf

from ornet_tf.errors import UserError
from ornet_tf.methods import Builders, LowLevel, named_variables
from ornet_tf.seeds import Seeds


class Method:
    """lower(image) -> generator -> activation map; upper(lower · map) must still classify (Eq. 1-6).

    With `seed_threshold` or `background`, which are not in the paper, training computes more for losses to ask for.
    """

    def __init__(
        self,
        builders: Builders,
        *,
        freeze_lower: bool = False,
        seed_threshold: float | None = None,
        seed_low_level_weight: float = 0.5,
        background: bool = False,
    ):
        """Builds the parts `lower`, `generator` and `upper`.

        Args:
          builders: see `Builders`.
          freeze_lower: whether `lower` keeps the weights that it starts from, so that `reuse_frozen` can be set.
          seed_threshold: on `seeds.scores`, 0..1; its largest region above it is the target of a `seed_agreement` loss.
            Choose features that know objects and keep them: ImageNet's weights, a deep split, `freeze_lower`, and a
            phase whose `trainable` leaves `upper` out. There is a part `direction` then, which takes in what the last
            features of objects have in common. None for no seed.
          seed_low_level_weight: of the low-level features in the seed, where the last ones have 1.
          background: whether training also gives how much the last features respond where the map is off, for a
            `background_suppression` loss.

        Raises:
          UserError: if an option is out of range.
        """
        self._background = background
        normalize, lower, self._upper = builders.backbone()
        self._low_level = LowLevel(normalize, lower, frozen=freeze_lower)
        if freeze_lower:
            self.frozen = self._low_level.known
        self._generator = builders.generator(lower.output_shape[1:])
        self.parts = {"lower": lower, "generator": self._generator, "upper": self._upper}
        self._seeds = Seeds.of_options(self._upper, seed_threshold, seed_low_level_weight)
        if self._seeds is not None:
            if not freeze_lower:
                raise UserError("seed_threshold: expected freeze_lower = True; seeds are read from what stays.")
            self.parts["direction"] = self._seeds.direction
        self.can_be_compiled = self._seeds is None  # components have dynamic shapes inside
        self.trainable_variables = named_variables(self.parts)

    def forward(self, batch, *, training):
        """Returns "activation_map", "class_maps", "generator_logits" (Eq. 4) and "logits" of the gated features.

        In training, with a seed, "seed_map" [B, h, w, 1] as well; with `background`, "background_activation" and
        "whole_activation" [B]: the mean of `upper`'s "features" for features times 1 - map, and for all of them.
        """
        features = self._low_level.of(batch, training=training)  # [B, h, w, C]
        outputs = self._generator(features, training=training)
        gate = tf.cast(outputs["activation_map"], features.dtype)
        outputs = {
            "activation_map": outputs["activation_map"],
            "class_maps": outputs["class_maps"],
            "generator_logits": outputs["logits"],
            "logits": self._upper(features * gate, training=training)["logits"],
        }
        if training and (self._seeds is not None or self._background):
            outputs.update(self._targets(features, gate))
        return outputs

    def predict(self, images):
        """Returns "activation_map" [B, h, w, 1] and the "logits" [B, K] of the gated features."""
        outputs = self.forward({"image": images}, training=False)
        return {"activation_map": outputs["activation_map"], "logits": outputs["logits"]}

    def _targets(self, features, gate):
        """Returns what losses compare the map with; batch statistics of `upper` stay those of the gated features."""
        whole = self._upper(features, training=False)["features"]
        targets = {}
        if self._seeds is not None:
            targets["seed_map"] = self._seeds.cut(features, whole, training=True)
        if self._background:
            left = self._upper(features * (1.0 - gate), training=False)["features"]
            # Of all channels, not of the label's class: class weights learned from few pictures say less.
            for name, seen in (("background_activation", left), ("whole_activation", whole)):
                targets[name] = tf.reduce_mean(tf.cast(tf.nn.relu(seen), tf.float32), axis=[1, 2, 3])
        return targets
