"""MaxBoxAcc of wsolevaluation: the contour with the largest area, at an IoU of 0.5. See `_max_box_accuracy`."""
from __future__ import annotations

from ornet_tf.metrics import _max_box_accuracy


class Metric(_max_box_accuracy.MaxBoxAccuracy):
    """MaxBoxAcc, in percent."""

    titles = {"wsol_v1": "MaxBoxAcc of wsolevaluation: largest contour, overlap 0.5"}
    iou_thresholds = (50,)

    def select_contours(self, contours):
        """Returns the contour with the largest area, of equal ones OpenCV's first."""
        return [max(contours, key=self._cv2.contourArea)]
