"""A sanity row: the map that stage one's seeds are cut from. Whoever learns from seeds should beat them."""
from __future__ import annotations

from ornet_tf.methods import Builders, ClassifierMap


class Method(ClassifierMap):
    """Reads what `stage_one` with an object prior has learned of the objects; not in the paper."""

    def __init__(self, builders: Builders):
        """Builds the parts `lower`, `upper` and `direction`, that of stage one."""
        super().__init__(builders)
        self.prior = builders.object_prior(self._lower, self._upper)
        self.parts["direction"] = self.prior.direction

    def of_classes(self, images, classes=None):
        """Returns "activation_map" [B, h, w, 1], rescaled to 0..1, and "logits" [B, K]; classes play no part."""
        del classes
        low_level = self._lower(self._normalize(images), training=False)
        outputs = self._upper(low_level, training=False)
        return {"activation_map": self.prior.scores(low_level, outputs["features"]), "logits": outputs["logits"]}
