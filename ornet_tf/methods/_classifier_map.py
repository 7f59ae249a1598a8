"""What methods share that compute the map from a trained classifier."""
from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from ornet_tf.errors import UserError
from ornet_tf.maps.rescale import rescale
from ornet_tf.methods import Builders, predicted_classes
from ornet_tf.models import shared_passes

_CLASS_CHOICES = ("predicted", "label")


class ClassifierMap:
    """The base of methods that compute the map from a trained classifier; a subclass defines `saliency`."""

    def __init__(self, builders: Builders, *, classes: str = "predicted"):
        """Builds the parts `lower` and `upper`.

        Args:
          builders: see `Builders`.
          classes: the class whose map is computed: "predicted", or "label" for the true one, which is known in
            evaluation only.

        Raises:
          UserError: if `classes` is something else.
        """
        if classes not in _CLASS_CHOICES:
            raise UserError(f"classes: expected one of {', '.join(_CLASS_CHOICES)}, got {classes!r}.")
        self._classes = classes
        self._normalize, self._lower, self._upper, _ = builders.backbone()
        self.parts = {"lower": self._lower, "upper": self._upper}
        self.trainable_variables = {}

    def saliency(self, outputs: Mapping[str, tf.Tensor], classes: tf.Tensor) -> tf.Tensor:
        """Maps the "features" [B, h', w', C] of `upper` to [B, h', w', 1]; values below 0 are cut off afterwards.

        Args:
          outputs: of `upper`.
          classes: integer [B], the class of each example's map.
        """
        raise NotImplementedError

    def forward(self, batch, *, training):
        """Returns the outputs of `predict`; the method is not trained."""
        del training
        return self.predict(batch["image"])

    def predict(self, images):
        """Returns "activation_map" [B, h, w, 1], rescaled to 0..1, and "logits" [B, K].

        Raises:
          UserError: if the option `classes` is "label".
        """
        if self._classes == "label":
            raise UserError(
                "classes='label': the map of the true label needs labels, which images to predict don't have. "
                "Choose a config.export.row with classes='predicted'."
            )
        return self.predict_for_classes(images)

    def predict_with_labels(self, images, labels):
        """Returns the outputs of `predict`. If the option `classes` is "label", the maps are those of labels [B]."""
        return self.predict_for_classes(images, labels) if self._classes == "label" else self.predict(images)

    def predict_for_classes(self, images, classes=None):
        """Returns the outputs of `predict` with the maps of classes, integer [B]; None for the predicted classes."""
        return self._map_and_logits(shared_passes.call(self._upper, self._low_level_features(images)), classes)

    def _low_level_features(self, images):
        return shared_passes.call(self._lower, shared_passes.call(self._normalize, images))

    def _map_and_logits(self, outputs, classes=None):
        classes = predicted_classes(outputs["logits"]) if classes is None else classes
        activation_map = self._enlarge_and_rescale(self.saliency(outputs, classes))
        return {"activation_map": activation_map, "logits": outputs["logits"]}

    def _enlarge_and_rescale(self, saliency):
        # All methods get the resolution of the generator's maps, so that none loses by coarser boxes.
        return rescale(tf.nn.relu(tf.image.resize(saliency, self._lower.output_shape[1:3])))
