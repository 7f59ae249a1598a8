"""Class activation mapping (Zhou et al., CVPR 2016) on a trained classifier: the baseline."""
from __future__ import annotations

import tensorflow as tf

from ornet_tf.errors import UserError
from ornet_tf.methods import Builders, ClassifierMap


class Method(ClassifierMap):
    """Weights the last feature maps by the dense layer's weights of a class; needs a `gap` head."""

    def __init__(self, builders: Builders, *, classes: str = "predicted"):
        """Builds the parts `lower` and `upper`.

        Args:
          builders: see `Builders`.
          classes: "predicted" or, for evaluation alone, "label": the class that the map is of.

        Raises:
          UserError: if the dense layer does not follow global average pooling directly, or for other `classes`.
        """
        super().__init__(builders, classes=classes)
        self._dense = self._upper.get_layer("predictions")
        if self._dense.kernel.shape[0] != self._upper.output["features"].shape[-1]:
            raise UserError(
                "CAM reads the class weights after global average pooling: set the backbone's head to 'gap'."
            )

    def saliency(self, outputs, classes):
        """Returns the evidence for the classes; what speaks against them is negative."""
        features = outputs["features"]
        kernel = tf.cast(tf.convert_to_tensor(self._dense.kernel), features.dtype)
        weights = tf.gather(kernel, classes, axis=1)  # [D, B]
        return tf.einsum("bhwd,db->bhw", features, weights)[..., tf.newaxis]
