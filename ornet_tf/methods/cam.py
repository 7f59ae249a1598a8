"""Class activation mapping (Zhou et al., CVPR 2016) on a trained classifier: the baseline."""
from __future__ import annotations

import tensorflow as tf

from ornet_tf.methods import Builders, ClassifierMap, class_activation


class Method(ClassifierMap):
    """Weights the last feature maps by the dense layer's weights of the predicted class; needs a `gap` head."""

    def __init__(self, builders: Builders):
        """Builds the parts `lower` and `upper`.

        Raises:
          ValueError: if the dense layer does not follow global average pooling directly.
        """
        super().__init__(builders)
        self._evidence = class_activation(self._upper)

    def saliency(self, outputs):
        """Returns the evidence for the predicted class; what speaks against it is negative."""
        return self._evidence(outputs["features"], tf.argmax(outputs["logits"], axis=-1))
