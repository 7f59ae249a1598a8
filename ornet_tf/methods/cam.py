"""Class activation mapping (Zhou et al., CVPR 2016) on a trained classifier: the baseline."""
from __future__ import annotations

from ornet_tf.methods import Builders, ClassifierMap, class_activation


class Method(ClassifierMap):
    """Weights the last feature maps by the dense layer's weights of a class; needs a `gap` head."""

    def __init__(self, builders: Builders, *, classes: str = "predicted"):
        """Builds the parts `lower` and `upper`.

        Args:
          builders: see `Builders`.
          classes: "predicted" or, for evaluation alone, "label": the class that the map is of.

        Raises:
          ValueError: if the dense layer does not follow global average pooling directly, or for other `classes`.
        """
        super().__init__(builders, classes=classes)
        self._evidence = class_activation(self._upper)

    def saliency(self, outputs, classes):
        """Returns the evidence for the classes; what speaks against them is negative."""
        return self._evidence(outputs["features"], classes)
