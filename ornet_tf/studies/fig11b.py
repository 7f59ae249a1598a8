"""The paper's Fig. 11(b): CorLoc against the threshold, on CUB-200-2011."""
from __future__ import annotations

from ornet_tf.studies import _threshold_curves


class Study(_threshold_curves.ThresholdCurves):
    """CorLoc against the threshold."""

    title = "Fig. 11(b): CorLoc against the threshold (in the paper on the test images of CUB-200-2011)"
