"""Grad-CAM (Selvaraju et al., ICCV 2017) of a trained classifier: CAM for any head and any layer."""
from __future__ import annotations

import tensorflow as tf

from ornet_tf.compat import keras
from ornet_tf.errors import UserError
from ornet_tf.methods import Builders, predicted_classes
from ornet_tf.methods._classifier_map import ClassifierMap


class Method(ClassifierMap):
    """Sums a layer's feature maps, weighted by the mean gradient of a class's logit, and cuts off values below 0."""

    def __init__(self, builders: Builders, *, layer: str = "", classes: str = "predicted"):
        """Builds the parts `lower` and `upper`.

        Args:
          builders: see `Builders`.
          layer: a layer of `upper` with feature maps; "" for the last feature map, as in the paper.
          classes: the class whose map is computed: "predicted" or, in evaluation only, "label".

        Raises:
          UserError: if there is no such layer, or for other `classes`.
        """
        super().__init__(builders, classes=classes)
        inner = [x for x in self._upper.layers if not isinstance(x, keras.layers.InputLayer)]
        maps = {x.name: x.output for x in inner if len(x.output.shape) == 4}
        if layer and layer not in maps:
            choices = ", ".join(maps)
            raise UserError(f"layer: expected one of `upper` with feature maps, got {layer!r}; choose from {choices}.")
        outputs = {**self._upper.output, "maps": maps[layer] if layer else self._upper.output["features"]}
        self._observed = keras.Model(self._upper.inputs, outputs, name="observed")

    def predict_for_classes(self, images, classes=None):
        """Returns "activation_map" [B, h, w, 1], rescaled to 0..1, of integer classes [B], and "logits" [B, K]."""
        features = self._low_level_features(images)
        # In inference mode examples do not influence each other. The gradient of the summed logits therefore contains
        # the gradient of each example's own logit.
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(features)
            outputs = self._observed(features, training=False)
            classes = predicted_classes(outputs["logits"]) if classes is None else classes
            chosen = tf.gather(outputs["logits"], classes, axis=1, batch_dims=1)  # [B]
        gradients = tape.gradient(chosen, outputs["maps"])  # of the sum
        activation_map = self._enlarge_and_rescale(self.combine(outputs["maps"], gradients, chosen))
        return {"activation_map": activation_map, "logits": outputs["logits"]}

    def combine(self, maps, gradients, logits):
        """Returns the map [B, h', w', 1] before it is enlarged.

        Args:
          maps: the layer's feature maps, [B, h', w', D].
          gradients: the gradient of each example's logit with respect to them, [B, h', w', D].
          logits: of the classes of the maps, [B].
        """
        del logits
        weights = tf.reduce_mean(gradients, axis=[1, 2], keepdims=True)  # Eq. 1: [B, 1, 1, D]
        return tf.nn.relu(tf.reduce_sum(weights * maps, axis=-1, keepdims=True))  # Eq. 2
