"""A sanity row: the channel mean of the classifier's last feature map, a map that costs nothing."""
from __future__ import annotations

from ornet_tf import seeds
from ornet_tf.methods import Builders, ClassifierMap


class Method(ClassifierMap):
    """Whoever proposes an activation map should beat this one."""

    def __init__(self, builders: Builders, *, low_level_weight: float = 0.0):
        """Builds the parts `lower` and `upper`.

        Args:
          builders: see `Builders`.
          low_level_weight: of the mean of the low-level features, which is added to that of the last ones, both
            rescaled; with it the map is the one that seeds are cut from.

        Raises:
          ValueError: if the weight is not a number of at least 0.
        """
        seeds.check_weight(low_level_weight, "low_level_weight")
        super().__init__(builders)
        self._low_level_weight = low_level_weight

    def of_classes(self, images, classes=None):
        """Returns "activation_map" [B, h, w, 1], rescaled to 0..1, and "logits" [B, K]; classes play no part."""
        del classes
        low_level = self._lower(self._normalize(images), training=False)
        outputs = self._upper(low_level, training=False)
        scores = seeds.mean_activation(low_level, outputs["features"], low_level_weight=self._low_level_weight)
        return {"activation_map": scores, "logits": outputs["logits"]}
