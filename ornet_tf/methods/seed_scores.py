"""A sanity row: the map that stage one's seeds are cut from. Whoever learns from seeds should beat them."""
from __future__ import annotations

from ornet_tf import seeds
from ornet_tf.methods import Builders, ClassifierMap


class Method(ClassifierMap):
    """Reads what `stage_one` with a `seed_threshold` has learned of the objects; not in the paper."""

    def __init__(self, builders: Builders, *, low_level_weight: float = 0.5):
        """Builds the parts `lower`, `upper` and `direction`, that of stage one.

        Args:
          builders: see `Builders`.
          low_level_weight: stage one's `seed_low_level_weight`.

        Raises:
          ValueError: if the weight is not a number of at least 0.
        """
        seeds.check_weight(low_level_weight, "low_level_weight")
        super().__init__(builders)
        self._low_level_weight = low_level_weight
        self._direction = seeds.object_direction(self.parts["upper"].output["features"].shape[1:])
        self.parts["direction"] = self._direction

    def of_classes(self, images, classes=None):
        """Returns "activation_map" [B, h, w, 1], rescaled to 0..1, and "logits" [B, K]; classes play no part."""
        del classes
        low_level = self._lower(self._normalize(images), training=False)
        outputs = self._upper(low_level, training=False)
        projection = self._direction(outputs["features"], training=False)
        scores = seeds.scores(low_level, projection, low_level_weight=self._low_level_weight)
        return {"activation_map": scores, "logits": outputs["logits"]}
