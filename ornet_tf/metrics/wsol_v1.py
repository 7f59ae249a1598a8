"""MaxBoxAcc of wsolevaluation: the contour with the largest area, at an IoU of 0.5. See `_max_box_accuracy`."""
from __future__ import annotations

from ornet_tf.metrics import Settings, _max_box_accuracy


class Metric(_max_box_accuracy.MaxBoxAccuracy):
    """MaxBoxAcc, in percent."""

    titles = {"wsol_v1": "MaxBoxAcc of wsolevaluation: largest contour, overlap 0.5"}

    def __init__(self, settings: Settings, *, interval: float = 0.001):
        """Uses `image_size` and `bootstrap` of the settings.

        Args:
          settings: the settings of the evaluation.
          interval: distance between two map thresholds; the original has 0.001, on its command line 0.01.
        """
        super().__init__(settings, (50,), interval)

    def select_contours(self, contours):
        """Returns the contour with the largest area, of equal ones OpenCV's first."""
        return [max(contours, key=self._cv2.contourArea)]
