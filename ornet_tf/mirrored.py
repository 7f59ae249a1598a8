"""Predictions that are means over a picture and its mirror image: better maps for twice the time.

Not in the paper. A map that a generator has learned from few pictures is not the same for both; what is by chance in
it goes.
"""
from __future__ import annotations

import tensorflow as tf

from ornet_tf import methods


class Mirrored:
    """A method whose predictions are such means. It can't be trained."""

    def __init__(self, method: methods.Protocol):
        """Keeps the method, whose parts stay where they are."""
        self._method = method
        self.parts = method.parts
        self.trainable_variables = {}

    def forward(self, batch, *, training):
        """Returns what `predict` returns; there is nothing to train."""
        del training
        return self.predict(batch["image"])

    def predict(self, images):
        """Returns what the method predicts: of "activation_map", mirrored back, and of "logits" the means."""
        return _means(self._method.predict(_both(images)))

    def predict_for(self, images, labels):
        """Does what `predict` does where the labels, int32 [B], are known (see `methods.predict_known`)."""
        return _means(methods.predict_known(self._method, _both(images), tf.tile(labels, [2])))


def _both(images: tf.Tensor) -> tf.Tensor:
    """Returns the pictures [B, H, W, 3] and, after them, their mirror images."""
    return tf.concat([images, tf.reverse(images, [2])], axis=0)


def _means(outputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    means = {}
    for name, values in outputs.items():
        whole, mirrored = tf.split(values, 2)
        means[name] = (whole + (tf.reverse(mirrored, [2]) if name == "activation_map" else mirrored)) / 2
    return means
