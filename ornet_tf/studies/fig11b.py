"""The paper's Fig. 11b: localization against beta, the weight of the area loss (Eq. 10)."""
from __future__ import annotations

from ornet_tf import study_charts
from ornet_tf.studies import _stage_two

# Of the configured weight; the paper's grid is not known. 0 takes the term out.
_FACTORS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)


class Study:
    """Stage two with several weights of the area loss."""

    title = "Fig. 11b: localization against beta, the weight of the area loss"
    about = "Multiples of the configured weight: the paper's own grid is not known. At 0 the term is left out."
    rows = ()
    phase = staticmethod(_stage_two.phase)

    def variants(self, config):
        """Returns a variant for each weight; that of the experiment is among them."""
        of_weight = _stage_two.weights(config, _stage_two.area_term(config), _FACTORS)
        return {f"beta = {weight:g}": changes for weight, changes in of_weight.items()}

    def draw(self, rows, variants):
        """Returns the curve."""
        weights = [float(label.rpartition(" ")[2]) for label in variants]
        return study_charts.score_curve(weights, [*variants.values()], self.title, "beta")
