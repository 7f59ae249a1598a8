"""Grad-CAM (Selvaraju et al., ICCV 2017) on a trained classifier: like CAM, for any head and any layer."""
from __future__ import annotations

import tensorflow as tf

from ornet_tf.compat import keras
from ornet_tf.errors import UserError
from ornet_tf.methods import Builders, ClassifierMap, predicted_classes


class Method(ClassifierMap):
    """Weights a layer's maps by the mean gradient of a class's logit, and cuts off what is below 0."""

    def __init__(self, builders: Builders, *, layer: str = "", classes: str = "predicted"):
        """Builds the parts `lower` and `upper`.

        Args:
          builders: see `Builders`.
          layer: a layer of `upper` that gives maps; "" for the last feature map, the paper's choice.
          classes: "predicted" or, for evaluation alone, "label": the class that the map is of.

        Raises:
          UserError: if there is no such layer, or for other `classes`.
        """
        super().__init__(builders, classes=classes)
        inner = [x for x in self._upper.layers if not isinstance(x, keras.layers.InputLayer)]
        maps = {x.name: x.output for x in inner if len(x.output.shape) == 4}
        if layer and layer not in maps:
            raise UserError(f"layer: no {layer!r} that gives maps in `upper`; choose from {', '.join(maps)}.")
        outputs = {**self._upper.output, "maps": maps[layer] if layer else self._upper.output["features"]}
        self._observed = keras.Model(self._upper.inputs, outputs, name="observed")

    def of_classes(self, images, classes=None):
        """Returns "activation_map" [B, h, w, 1], rescaled to 0..1, and "logits" [B, K]."""
        features = self._lower(self._normalize(images), training=False)
        # The gradient of a forward pass by its own maps, which trains nothing. Examples do not meet in inference, so
        # that the gradient of the sum of the logits holds that of each.
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(features)
            outputs = self._observed(features, training=False)
            classes = predicted_classes(outputs["logits"]) if classes is None else classes
            chosen = tf.reduce_sum(tf.gather(outputs["logits"], classes, axis=1, batch_dims=1))
        gradients = tape.gradient(chosen, outputs["maps"])
        weights = tf.reduce_mean(gradients, axis=[1, 2], keepdims=True)  # Eq. 1: [B, 1, 1, D]
        saliency = tf.nn.relu(tf.reduce_sum(weights * outputs["maps"], axis=-1, keepdims=True))  # Eq. 2
        return {"activation_map": self._enlarged(saliency), "logits": outputs["logits"]}
