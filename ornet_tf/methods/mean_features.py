"""A sanity row: the channel mean of the classifier's last feature map, a map that costs nothing."""
from __future__ import annotations

import tensorflow as tf

from ornet_tf.methods import Builders, rescale


class Method:
    """Whoever proposes an activation map should beat this one."""

    def __init__(self, builders: Builders):
        """Builds the parts `lower` and `upper`."""
        self._normalize, self._lower, self._upper = builders.backbone()
        self.parts = {"lower": self._lower, "upper": self._upper}
        self.trainable_variables = {}

    def forward(self, batch, *, training, seed):
        """Returns what `predict` returns; there is nothing to train."""
        del training, seed
        return self.predict(batch["image"])

    def predict(self, images):
        """Returns "activation_map" [B, h, w, 1], rescaled to 0..1, and "logits" [B, K]."""
        outputs = self._upper(self._lower(self._normalize(images), training=False), training=False)
        mean = tf.reduce_mean(outputs["features"], axis=-1, keepdims=True)
        # Enlarged to the grid of the generator's maps, so that no row loses by a coarser box.
        mean = tf.image.resize(mean, self._lower.output_shape[1:3])
        return {"activation_map": rescale(mean), "logits": outputs["logits"]}
