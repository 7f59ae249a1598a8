"""The convention of the ORNet authors' released code (utils/func_utils.py and train_2nd_step.py there).

The map is cut as it is predicted, at its own resolution and without rescaling: > threshold. The box is that of all
pixels above it, from the near edge of the first to the near edge of the last, so it is one pixel of the map shorter
than what it holds; a map without such a pixel gives the whole view. The truth is not clipped to the view. A box is
right if the overlap is more than `iou_threshold`. The authors report the threshold that is best on the test set, of
0.05, 0.1 ... 0.95: here `corloc_best_on_evaluated_data`, and LocErr with the same ending.
"""
from __future__ import annotations

import tensorflow as tf

from ornet_tf.maps import boxes
from ornet_tf.metrics import Settings, _localization
from ornet_tf.metrics._localization_metrics import THRESHOLDS


class Metric:
    """CorLoc, LocErr and ClsErr as the authors' code counts them."""

    titles = {"ornet": "the authors' code: tight box without its last pixels, overlap of more than asked for"}
    needs_masks = False

    def __init__(self, settings: Settings):
        """Takes `settings.threshold`, `iou_threshold` and `bootstrap`."""
        self._thresholds = sorted({*THRESHOLDS, settings.threshold})
        self._accumulator = _localization.Accumulator(settings, thresholds=self._thresholds, more_than=True)

    def measure(self, activation_map, truth):
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
        """Returns the cells of a line; those at the best threshold include LocErr, which is what the authors report."""
        line = _localization.cells(figures, threshold_split)
        for k in ("top1", "top5"):
            best = _localization.number(figures[f"locerr_{k}_best_on_evaluated_data"])
            line[f"LocErr top-{k[3:]} at the best"] = best
        return line
