"""A sanity row: the channel mean of the classifier's last feature map, a map that costs nothing."""
from __future__ import annotations

import tensorflow as tf

from ornet_tf.methods import Builders, ClassifierMap


class Method(ClassifierMap):
    """Whoever proposes an activation map should beat this one."""

    def __init__(self, builders: Builders):
        """Builds the parts `lower` and `upper`; there is no class to choose."""
        super().__init__(builders)

    def saliency(self, outputs, classes):
        """Returns the mean of the channels of "features", [B, h', w', 1]; classes play no part."""
        del classes
        return tf.reduce_mean(outputs["features"], axis=-1, keepdims=True)
