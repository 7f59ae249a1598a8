"""A sanity row: the channel mean of the classifier's last feature map."""
from __future__ import annotations

import tensorflow as tf

from ornet_tf.methods import Builders
from ornet_tf.methods._classifier_map import ClassifierMap


class Method(ClassifierMap):
    """Returns the channel mean as the activation map, which every other method should beat."""

    def __init__(self, builders: Builders):
        """Builds the parts `lower` and `upper`."""
        super().__init__(builders)

    def saliency(self, outputs, classes):
        """Returns the mean of the channels of "features", [B, h', w', 1]; the classes are ignored."""
        del classes
        return tf.reduce_mean(outputs["features"], axis=-1, keepdims=True)
