"""The metric of the ORNet authors' released code (utils/func_utils.py and train_2nd_step.py there).

A pixel is on if the map, at its own resolution and not rescaled, is above the threshold. The box of all on pixels goes
from the near edge of the first to the near edge of the last, so it is one map pixel too small on two sides. If no pixel
is on, the box is the whole view. The ground truth is not clipped to the view. A box is right if its IoU is more than
`iou_threshold`. The authors report the best threshold on the test set, of 0.05, 0.1 ... 0.95: here
`corloc_best_on_evaluated_data`, and the LocErr figures with the same ending.
"""
from __future__ import annotations

import tensorflow as tf

from ornet_tf.maps import boxes
from ornet_tf.metrics import Settings, _localization, format_figure
from ornet_tf.metrics._localization_metrics import THRESHOLDS


class Metric:
    """CorLoc, LocErr and ClsErr as in the authors' code."""

    titles = {"ornet": "the authors' code: tight box without its last pixels, overlap of more than asked for"}
    needs_masks = False

    def __init__(self, settings: Settings):
        """Uses `threshold`, `iou_threshold` and `bootstrap` of the settings."""
        self._thresholds = sorted({*THRESHOLDS, settings.threshold})
        self._accumulator = _localization.Accumulator(settings, thresholds=self._thresholds, more_than=True)

    def measure(self, activation_map, truth, score_map):
        """Returns "boxes" [B, T, 4]."""
        thresholds = tf.constant(self._thresholds, tf.float32)
        return {"boxes": boxes.find_boxes(activation_map, thresholds, far_edge=False)}

    def update(self, measured, truth):
        """Adds a batch."""
        self._accumulator.update(measured["boxes"], truth["whole_boxes"], truth)

    def summary(self, chosen_on=None):
        """Returns the figures."""
        return {"ornet": self._accumulator.summary(chosen_on and chosen_on["ornet"])}

    def per_image(self):
        """Returns the columns."""
        return {"ornet": self._accumulator.per_image()}

    @staticmethod
    def cells(figures, threshold_split):
        """Returns the cells of a line, including LocErr at the best threshold, which the authors report."""
        line = _localization.cells(figures, threshold_split)
        for k in ("top1", "top5"):
            best = format_figure(figures[f"locerr_{k}_best_on_evaluated_data"])
            line[f"LocErr top-{k[3:]} at the best"] = best
        return line
