"""Class activation mapping (CAM; Zhou et al., CVPR 2016) of a trained classifier: the baseline."""
from __future__ import annotations

import tensorflow as tf

from ornet_tf.errors import UserError
from ornet_tf.methods import Builders
from ornet_tf.methods._classifier_map import ClassifierMap
from ornet_tf.models.pooling import CrossDimensionalPooling, strength


class Method(ClassifierMap):
    """Sums the last feature maps, weighted by the dense layer's weights for a class.

    It needs one dense layer after the pooling. With the head `cross_dimensional`, each position counts as it does in
    the pooling: the map is multiplied by the strength of the features.
    """

    heads = ("gap", "cross_dimensional")

    def __init__(self, builders: Builders, *, classes: str = "predicted"):
        """Builds the parts `lower` and `upper`.

        Args:
          builders: see `Builders`.
          classes: the class whose map is computed: "predicted" or, in evaluation only, "label".

        Raises:
          UserError: if the dense layer does not follow the pooling directly, or for other `classes`.
        """
        super().__init__(builders, classes=classes)
        self._dense = self._upper.get_layer("predictions")
        if self._dense.kernel.shape[0] != self._upper.output["features"].shape[-1]:
            raise UserError(
                "CAM: expected a backbone with one dense layer directly after the pooling, got other layers between "
                "them. Use the method grad_cam, or set the backbone's head to 'gap'."
            )
        self._is_weighted = any(isinstance(layer, CrossDimensionalPooling) for layer in self._upper.layers)

    def saliency(self, outputs, classes):
        """Returns the weighted sum for the classes, [B, h', w', 1]; evidence against a class is negative."""
        features = outputs["features"]
        weights = tf.cast(self.class_weights(classes), features.dtype)
        evidence = tf.einsum("bhwd,bd->bhw", features, weights)[..., tf.newaxis]
        return evidence * strength(features) if self._is_weighted else evidence

    def class_weights(self, classes):
        """Returns the dense layer's weights for classes, integer [B], as float32 [B, D]."""
        return tf.transpose(tf.gather(tf.convert_to_tensor(self._dense.kernel), classes, axis=1))
