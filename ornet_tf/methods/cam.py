"""Class activation mapping (Zhou et al., CVPR 2016) on a trained classifier: the baseline."""
from __future__ import annotations

import tensorflow as tf

from ornet_tf.methods import Builders, ClassifierMap


class Method(ClassifierMap):
    """Weights the last feature maps by the dense layer's weights of the predicted class; needs a `gap` head."""

    def __init__(self, builders: Builders):
        """Builds the parts `lower` and `upper`.

        Raises:
          ValueError: if the dense layer does not follow global average pooling directly.
        """
        super().__init__(builders)
        self._dense = self._upper.get_layer("predictions")
        channels = self._upper.output["features"].shape[-1]
        if self._dense.kernel.shape[0] != channels:
            raise ValueError(
                "CAM reads the class weights after global average pooling: set the backbone's head to 'gap'."
            )

    def saliency(self, outputs):
        """Returns the evidence for the predicted class; what speaks against it is negative."""
        predicted = tf.argmax(outputs["logits"], axis=-1)
        weights = tf.gather(tf.convert_to_tensor(self._dense.kernel), predicted, axis=1)  # [D, B]
        return tf.einsum("bhwd,db->bhw", outputs["features"], weights)[..., tf.newaxis]
