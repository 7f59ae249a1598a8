"""The paper's Fig. 11b: localization against beta, the weight of the area loss (Eq. 10)."""
from __future__ import annotations

from ornet_tf.studies import _stage_two


class Study(_stage_two.WeightStudy):
    """Stage two with several weights of the area loss."""

    title = "Fig. 11b: localization against beta, the weight of the area loss"
    symbol = "beta"
    factors = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
    term = staticmethod(_stage_two.find_area_term)
