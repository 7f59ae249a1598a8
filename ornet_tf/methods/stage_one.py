"""Stage one: generator and classifier learn together; the map gates the low-level features (paper, section 3.1)."""
from __future__ import annotations

import tensorflow as tf

from ornet_tf.errors import UserError
from ornet_tf.methods import Builders, LowLevel
from ornet_tf.models.variables import named_variables


class Method:
    """lower(image) -> generator -> activation map; upper(lower · map) must still classify (Eq. 1-6).

    With `object_prior` or `background`, which are not in the paper, training computes more for losses to ask for.
    """

    def __init__(
        self,
        builders: Builders,
        *,
        freeze_lower: bool = False,
        object_prior: bool = False,
        background: bool = False,
    ):
        """Builds the parts `lower`, `generator` and `upper`.

        Args:
          builders: see `Builders`.
          freeze_lower: whether `lower` keeps the weights that it starts from. `cache_frozen_features` needs it.
          object_prior: whether training also gives the seed, the target of a `pseudo_mask_agreement` loss (see
            `ornet_tf.models.object_prior` and config.object_prior). Choose features that know objects: ImageNet's
            weights and a deep split. They must stay as they are: set `freeze_lower`, and leave `upper` out of the
            phase's `trainable`; its batch normalisation keeps its statistics. There is a part `direction` then, which
            takes in what the last features of objects have in common.
          background: whether training also gives how much the last features respond where the map is off, for a
            `background_suppression` loss.

        Raises:
          UserError: if an option is out of range.
        """
        if object_prior and not freeze_lower:
            raise UserError("object_prior: expected freeze_lower = True; seeds are read from features that stay.")
        self._background = background
        normalize, lower, self._upper, _ = builders.backbone()
        self._low_level = LowLevel(normalize, lower, frozen=freeze_lower)
        if freeze_lower:
            self.frozen = self._low_level.known
        self._generator = builders.generator(lower.output_shape[1:])
        self.parts = {"lower": lower, "generator": self._generator, "upper": self._upper}
        self.prior = builders.object_prior(lower, self._upper, learns=True) if object_prior else None
        if self.prior is not None:
            self.parts["direction"] = self.prior.direction
        self.can_be_compiled = self.prior is None  # components have dynamic shapes inside
        self.trainable_variables = named_variables(self.parts)

    def forward(self, batch, *, training):
        """Returns "activation_map", "class_maps", "generator_logits" (Eq. 4) and "logits" of the gated features.

        In training, with an object prior, "pseudo_mask" [B, h, w, 1] as well; with `background`,
        "background_activation" and "whole_activation" [B]: the mean of `upper`'s "features" for features times
        1 - map, and for all of them.
        """
        features = self._low_level.features(batch, training=training)  # [B, h, w, C]
        outputs = self._generator(features, training=training)
        gate = tf.cast(outputs["activation_map"], features.dtype)
        outputs = {
            "activation_map": outputs["activation_map"],
            "class_maps": outputs["class_maps"],
            "generator_logits": outputs["logits"],
            # A prior's features stay: batch normalisation on the way to them must not move.
            "logits": self._upper(features * gate, training=training and self.prior is None)["logits"],
        }
        if training and (self.prior is not None or self._background):
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
        if self.prior is not None:
            targets["pseudo_mask"] = self.prior.pseudo_masks(features, whole)
        if self._background:
            left = self._upper(features * (1.0 - gate), training=False)["features"]
            # Of all channels, not of the label's class: class weights learned from few images say less.
            for name, seen in (("background_activation", left), ("whole_activation", whole)):
                targets[name] = tf.reduce_mean(tf.cast(tf.nn.relu(seen), tf.float32), axis=[1, 2, 3])
        return targets
