"""Stage one: generator and classifier learn together; the map gates the low-level features (paper, section 3.1)."""
from __future__ import annotations

import tensorflow as tf

from ornet_tf.methods import Builders, named_variables


class Method:
    """lower(image) -> generator -> activation map; upper(lower · map) must still classify (Eq. 1-6)."""

    def __init__(self, builders: Builders):
        """Builds the parts `lower`, `generator` and `upper`."""
        self._normalize, self._lower, self._upper = builders.backbone()
        self._generator = builders.generator(self._lower.output_shape[1:])
        self.parts = {"lower": self._lower, "generator": self._generator, "upper": self._upper}
        self.trainable_variables = named_variables(self.parts)

    def forward(self, batch, *, training):
        """Returns "activation_map", "class_maps", "generator_logits" (Eq. 4) and "logits" of the gated features."""
        features = self._lower(self._normalize(batch["image"]), training=training)  # [B, h, w, C]
        outputs = self._generator(features, training=training)
        gated = features * tf.cast(outputs["activation_map"], features.dtype)
        return {
            "activation_map": outputs["activation_map"],
            "class_maps": outputs["class_maps"],
            "generator_logits": outputs["logits"],
            "logits": self._upper(gated, training=training)["logits"],
        }

    def predict(self, images):
        """Returns "activation_map" [B, h, w, 1] and the "logits" [B, K] of the gated features."""
        outputs = self.forward({"image": images}, training=False)
        return {"activation_map": outputs["activation_map"], "logits": outputs["logits"]}
