"""The paper's Fig. 11(c): CorLoc against the threshold, on ImageNet-1K."""
from __future__ import annotations

from ornet_tf.studies import _threshold_curves


class Study(_threshold_curves.ThresholdCurves):
    """CorLoc against the threshold: Fig. 11(b) of an experiment on ImageNet."""

    title = "Fig. 11(c): CorLoc against the threshold (in the paper on the validation images of ImageNet-1K)"
