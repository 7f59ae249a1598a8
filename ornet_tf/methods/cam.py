"""Class activation mapping (Zhou et al., CVPR 2016) on a trained classifier: the baseline."""
from __future__ import annotations

import tensorflow as tf

from ornet_tf.methods import Builders, rescale


class Method:
    """Weights the last feature maps by the dense layer's weights of the predicted class; needs a `gap` head."""

    def __init__(self, builders: Builders):
        """Builds the parts `lower` and `upper`.

        Raises:
          ValueError: if the dense layer does not follow global average pooling directly.
        """
        self._normalize, self._lower, self._upper = builders.backbone()
        self._dense = self._upper.get_layer("predictions")
        channels = self._upper.output["features"].shape[-1]
        if self._dense.kernel.shape[0] != channels:
            raise ValueError(
                "CAM reads the class weights after global average pooling: set the backbone's head to 'gap'."
            )
        self.parts = {"lower": self._lower, "upper": self._upper}
        self.trainable_variables = {}

    def forward(self, batch, *, training, seed):
        """Returns what `predict` returns; there is nothing to train."""
        del training, seed
        return self.predict(batch["image"])

    def predict(self, images):
        """Returns "activation_map" [B, h, w, 1] (negative evidence cut off, rescaled to 0..1) and "logits" [B, K]."""
        outputs = self._upper(self._lower(self._normalize(images), training=False), training=False)
        predicted = tf.argmax(outputs["logits"], axis=-1)
        weights = tf.gather(tf.convert_to_tensor(self._dense.kernel), predicted, axis=1)  # [D, B]
        cam = tf.einsum("bhwd,db->bhw", outputs["features"], weights)[..., tf.newaxis]
        # Enlarged to the grid of the generator's maps, so that no row loses by a coarser box.
        cam = tf.image.resize(cam, self._lower.output_shape[1:3])
        return {"activation_map": rescale(tf.nn.relu(cam)), "logits": outputs["logits"]}
