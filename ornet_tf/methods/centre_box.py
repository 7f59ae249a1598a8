"""A sanity row: a centred box that does not depend on the image."""
from __future__ import annotations

import tensorflow as tf

from ornet_tf.methods import Builders


class Method:
    """Returns a pyramid as the map: above threshold t lies the centred box whose sides are 1 - t of the image's."""

    def __init__(self, builders: Builders):
        """Builds nothing."""
        del builders
        self.parts = {}
        self.trainable_variables = {}

    def forward(self, batch, *, training):
        """Returns the outputs of `predict`; the method is not trained."""
        del training
        return self.predict(batch["image"])

    def predict(self, images):
        """Returns "activation_map" [B, H, W, 1], of the images' size."""
        height, width = images.shape[1:3]
        rows = tf.abs((tf.range(height, dtype=tf.float32) + 0.5) / height * 2.0 - 1.0)
        columns = tf.abs((tf.range(width, dtype=tf.float32) + 0.5) / width * 2.0 - 1.0)
        pyramid = 1.0 - tf.maximum(rows[:, tf.newaxis], columns)  # [H, W]
        return {"activation_map": tf.tile(pyramid[tf.newaxis, :, :, tf.newaxis], [tf.shape(images)[0], 1, 1, 1])}
