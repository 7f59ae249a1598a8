"""The paper's Fig. 11a: localization against alpha, the weight of the weighted entropy (Eq. 10)."""
from __future__ import annotations

from ornet_tf.studies import _stage_two


class Study(_stage_two.WeightStudy):
    """Stage two with several weights of the entropy term."""

    title = "Fig. 11a: localization against alpha, the weight of the weighted entropy"
    symbol = "alpha"
    factors = (0.0, 1 / 3, 2 / 3, 1.0, 4 / 3, 2.0)
    term = staticmethod(_stage_two.find_entropy_term)
