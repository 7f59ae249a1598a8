"""MaxBoxAccV2 of wsolevaluation: the best of all contours, the mean over three IoU thresholds. See `_max_box_accuracy`.

The contours of holes count as well: the original asks OpenCV for the whole tree.
"""
from __future__ import annotations

from ornet_tf.metrics import _max_box_accuracy


class Metric(_max_box_accuracy.MaxBoxAccuracy):
    """MaxBoxAccV2, in percent: the mean of the best accuracies at IoU thresholds of 0.3, 0.5 and 0.7."""

    titles = {"wsol_v2": "MaxBoxAccV2 of wsolevaluation: best of all contours, mean of overlaps 0.3, 0.5, 0.7"}
    iou_thresholds = (30, 50, 70)

    def select_contours(self, contours):
        """Returns all contours."""
        return contours
