"""A sanity row: the object prior's scores, which a method that learns from their pseudo masks should beat."""
from __future__ import annotations

from ornet_tf.maps import refinement
from ornet_tf.methods import Builders, predicted_classes
from ornet_tf.methods._classifier_map import ClassifierMap
from ornet_tf.models import shared_passes


class Method(ClassifierMap):
    """Returns the scores of the object prior that `stage_one` has learned, as the activation map. Not in the paper."""

    def __init__(self, builders: Builders, *, classes: str = "predicted", refine: bool = False):
        """Builds the parts `lower`, `upper` and `direction`; the last one is to be loaded from stage one.

        Args:
          builders: see `Builders`.
          classes: see `ClassifierMap`.
          refine: whether the map of a prediction, cut at 0.5, is refined along the image's edges, at half the image's
            resolution (see `refinement.refine_mask`). Pseudo masks do not depend on it.

        Raises:
          UserError: if `classes` is neither "predicted" nor "label".
        """
        super().__init__(builders, classes=classes)
        self._refine = refine
        self.prior = builders.object_prior(self._lower, self._upper)
        self.parts["direction"] = self.prior.direction

    def predict_for_classes(self, images, classes=None):
        """Returns the outputs of `Method.predict`; see `ClassifierMap`."""
        low_level = self._low_level_features(images)
        outputs = shared_passes.call(self._upper, low_level)
        classes = predicted_classes(outputs["logits"]) if classes is None else classes
        scores = self.prior.scores(low_level, outputs["features"], classes)
        predicted = {"activation_map": scores, "logits": outputs["logits"]}
        return refinement.refine_prediction(predicted, images) if self._refine else predicted

    def pseudo_masks(self, images, labels):
        """Returns the pseudo masks of labelled images, see `ObjectPrior.pseudo_masks`."""
        low_level = self._low_level_features(images)
        last = shared_passes.call(self._upper, low_level)["features"]
        return self.prior.pseudo_masks(low_level, last, labels, images)
