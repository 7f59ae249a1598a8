"""This project's metric: boxes with half-open edges in the evaluation view, for both rules of `boxes.RULES`.

A pixel is on if the map, at its own resolution, is above the threshold. Boxes end at the far edge of their last pixels,
and an IoU of exactly `iou_threshold` is enough. The ground truth is clipped to the view, or whole. A box of
the view is compared with the whole ground truth in the frame of the original image.
"""
from __future__ import annotations

import tensorflow as tf

from ornet_tf.errors import UserError
from ornet_tf.maps import box_scores, boxes
from ornet_tf.metrics import Settings, _localization
from ornet_tf.metrics._localization_metrics import THRESHOLDS

# An IoU does not depend on the frame's origin and scale, so whole boxes can stay in fractions of the view.
_TRUTH = {"view": "boxes", "image": "whole_boxes"}


class Metric:
    """CorLoc, LocErr and ClsErr at the fixed threshold, at 0.05, 0.1 ... 0.95, and at a chosen one.

    At the fixed threshold it also tells how well `box_scores.stability` ranks right boxes above wrong ones.
    """

    titles = {"tight": "tight box of all pixels above the threshold", "largest": "largest connected component"}
    needs_masks = False

    def __init__(self, settings: Settings, *, frame: str = "view"):
        """Uses `threshold`, `iou_threshold`, `components` and `bootstrap` of the settings.

        Args:
          settings: the settings.
          frame: "view": the ground truth is clipped to the evaluation view, so that what the crop hides does not
            count. "image": it is the whole box in the original image.

        Raises:
          UserError: if `frame` is something else.
        """
        if frame not in _TRUTH:
            raise UserError(f"frame: expected one of {', '.join(_TRUTH)}, got {frame!r}.")
        self._truth = _TRUTH[frame]
        self._thresholds = sorted({*THRESHOLDS, settings.threshold})
        self._fixed = self._thresholds.index(settings.threshold)
        self._components = settings.components
        self._rules = {rule: _localization.Accumulator(settings, thresholds=self._thresholds) for rule in boxes.RULES}

    def measure(self, activation_map, truth, score_map):
        """Returns rule -> boxes [B, T, 4], and "box_scores" float32 [B, 2]: those at the fixed threshold."""
        thresholds = tf.constant(self._thresholds, tf.float32)
        found = {
            rule: boxes.find_boxes(activation_map, thresholds, rule=rule, backend=self._components)
            for rule in self._rules
        }
        fixed = tf.stack([of_rule[:, self._fixed] for of_rule in found.values()], axis=1)
        return {**found, "box_scores": box_scores.stability(score_map, fixed, max_components=1)}

    def update(self, measured, truth):
        """Adds a batch."""
        for (rule, accumulator), scores in zip(self._rules.items(), measured["box_scores"].T):
            accumulator.update(measured[rule], truth[self._truth], truth, box_scores=scores)

    def summary(self, chosen_on=None):
        """Returns the figures of each rule."""
        return {rule: a.summary(chosen_on and chosen_on[rule]) for rule, a in self._rules.items()}

    def per_image(self):
        """Returns the columns of each rule."""
        return {rule: accumulator.per_image() for rule, accumulator in self._rules.items()}

    cells = staticmethod(_localization.cells)
