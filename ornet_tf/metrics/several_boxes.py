"""Recall and average precision of several boxes in each image: for images with several objects.

The boxes of an image are those of its largest components, or of the largest parts of components, see
`boxes.find_largest_boxes`, ranked by `box_scores.stability`. In this order, each box matches the true box with the
highest IoU among those that no box has matched yet, if the IoU is at least `iou_threshold`. So of several boxes on one
object only one is right.

Recall is the share of all true boxes that are matched. Average precision is the area below the curve of precision over
recall, whose points are the scores of all images' boxes; the precision at a recall is the highest one at this or a
higher recall, as in PASCAL VOC since 2010. Equal scores are one point. Classes do not count. Beside them stands the
recall of the largest box alone, which in images with N objects is at most 1 / N.

Images without true boxes are left out. A true box outside of the view can't be matched, but counts.
"""
from __future__ import annotations

import numpy as np
import tensorflow as tf

from ornet_tf.errors import UserError
from ornet_tf.maps import box_scores, boxes
from ornet_tf.metrics import Settings, format_figure, is_out_of_view
from ornet_tf.metrics._localization_metrics import THRESHOLDS

_TRUTH = {"view": "boxes", "image": "whole_boxes"}
_FIGURES = ("average_precision", "recall", "recall_of_largest")
_BEST = ("best_threshold_on_evaluated_data", "average_precision_best_on_evaluated_data")


class Metric:
    """Recall and average precision at the fixed threshold, at 0.05, 0.1 ... 0.95, and at a chosen one."""

    titles = {"several": "several boxes in an image"}
    needs_masks = False

    def __init__(self, settings: Settings, *, max_boxes: int = 5, split: bool = False, frame: str = "view"):
        """Uses `threshold`, `iou_threshold` and `bootstrap` of the settings.

        Args:
          settings: the settings.
          max_boxes: M, the largest number of boxes of an image.
          split: whether components are split into parts, see `parts.label_parts`, which takes longer.
          frame: "view" or "image", as for the metric `corloc`.

        Raises:
          UserError: if an option has another value.
        """
        if frame not in _TRUTH:
            raise UserError(f"frame: expected one of {', '.join(_TRUTH)}, got {frame!r}.")
        if max_boxes < 1:
            raise UserError(f"max_boxes: expected at least 1, got {max_boxes!r}.")
        self._truth, self._settings = _TRUTH[frame], settings
        self._max_boxes, self._split = max_boxes, split
        self._thresholds = sorted({*THRESHOLDS, settings.threshold})
        self._fixed = self._thresholds.index(settings.threshold)
        self._results, self._out_of_view = [], 0

    def measure(self, activation_map, truth, score_map):
        """Returns what the figures need at each of T thresholds.

        Returns:
          scores: float32 [B, T, M] in descending order, -1 for boxes that an image does not have.
          is_right: bool [B, T, M], whether the box of this score matches a true box.
          is_largest_right: bool [B, T], whether the largest box matches one.
          iou: float64 [B, T], the mean over the true boxes of the IoU with the best box; NaN without true boxes.
          true_boxes: int32 [B], their number.
        """
        thresholds = tf.constant(self._thresholds, tf.float32)
        found, count = boxes.find_largest_boxes_by_threshold(
            activation_map, thresholds, max_boxes=self._max_boxes, split_map=score_map if self._split else None
        )
        shape = tf.shape(found)[:3]
        flat = tf.reshape(found, [shape[0], -1, 4])
        scores = box_scores.stability(score_map, flat, max_components=self._max_boxes)
        is_box = tf.range(self._max_boxes, dtype=count.dtype) < count[..., tf.newaxis]
        scores = tf.where(is_box, tf.reshape(scores, shape), -1.0)
        order = tf.argsort(scores, direction="DESCENDING", stable=True)
        true = tf.cast(truth[self._truth], tf.float64)
        is_true = tf.reduce_all(true[..., 2:] > true[..., :2], axis=-1)
        ious = boxes.iou(tf.cast(found, tf.float64)[..., tf.newaxis, :], true[:, tf.newaxis, tf.newaxis])
        best = tf.where(is_true[:, tf.newaxis], tf.reduce_max(ious, axis=2), 0.0)
        true_boxes = tf.reduce_sum(tf.cast(is_true, tf.int32), axis=-1)
        return {
            "scores": tf.gather(scores, order, batch_dims=2),
            "is_right": _match(tf.gather(ious, order, batch_dims=2), self._settings.iou_threshold),
            "is_largest_right": tf.reduce_any(ious[:, :, 0] >= self._settings.iou_threshold, axis=-1),
            "iou": tf.reduce_sum(best, axis=-1) / tf.cast(true_boxes, tf.float64)[:, tf.newaxis],
            "true_boxes": true_boxes,
        }

    def update(self, measured, truth):
        """Adds a batch."""
        self._results.append(measured)
        self._out_of_view += int(np.sum(is_out_of_view(truth["boxes"])))

    def summary(self, chosen_on=None):
        """Returns the figures at the fixed threshold, and average precision at all thresholds and at the best one.

        Figures that need true boxes are None if no image has any. `chosen_on` adds the figures at the threshold that
        has the highest average precision there.
        """
        results = self._collected()
        figures = {
            "images": len(results["true_boxes"]),
            "images_with_boxes": int(np.count_nonzero(results["true_boxes"])),
            "images_out_of_view": self._out_of_view,
            "true_boxes": int(results["true_boxes"].sum()),
            "max_boxes": self._max_boxes,
            "split": self._split,
            "iou_threshold": float(self._settings.iou_threshold),
            "threshold": float(self._settings.threshold),
            "thresholds": [float(threshold) for threshold in self._thresholds],
            **dict.fromkeys((*_FIGURES, "average_precision_by_threshold", *_BEST)),
        }
        if figures["true_boxes"]:
            results = {key: values[results["true_boxes"] > 0] for key, values in results.items()}
            figures.update(self._figures_at(results, self._fixed))
            by_threshold = [self._average_precision(results, index)[0] for index in range(len(self._thresholds))]
            best = int(np.argmax(by_threshold))
            figures["average_precision_by_threshold"] = by_threshold
            figures.update(zip(_BEST, (figures["thresholds"][best], by_threshold[best])))
        if chosen_on is not None:
            chosen = figures["threshold_chosen"] = chosen_on["several"][_BEST[0]]
            figures.update({f"{name}_at_chosen_threshold": None for name in _FIGURES})
            if chosen is not None and figures["true_boxes"]:
                index = figures["thresholds"].index(chosen)
                figures.update(self._figures_at(results, index, "_at_chosen_threshold"))
        return {"several": figures}

    def _figures_at(self, results, index: int, suffix: str = ""):
        """Returns the figures at one threshold and their intervals, for images that all have true boxes."""
        right = results["is_right"][:, index].sum(axis=1)
        shares = np.column_stack([right, results["is_largest_right"][:, index], results["true_boxes"]])

        def in_percent(sums):
            return 100.0 * sums[..., :2] / sums[..., 2:]

        values = [self._average_precision(results, index)[0], *in_percent(shares.sum(axis=0))]
        figures = {f"{name}{suffix}": float(value) for name, value in zip(_FIGURES, values)}
        bootstrap = self._settings.bootstrap
        if bootstrap.samples:
            draws = bootstrap.draws(len(shares))
            precisions = np.concatenate([self._average_precision(results, index, times) for times in draws])
            samples = np.column_stack([precisions, in_percent(bootstrap.sums(shares))])
            for name, values in zip(_FIGURES, samples.T):
                figures[f"{name}{suffix}_interval"] = bootstrap.interval(values)
        return figures

    @staticmethod
    def _average_precision(results, index: int, times: np.ndarray | None = None) -> list[float]:
        """Returns the average precision at a threshold in percent, in each of the samples `times`."""
        scores, is_right = results["scores"][:, index], results["is_right"][:, index]
        return [100 * value for value in average_precision(scores, is_right, results["true_boxes"], times)]

    def per_image(self):
        """Returns the columns of all images at the fixed threshold.

        They are "iou", the mean over the true boxes of the IoU with the best box, and the numbers "boxes",
        "right_boxes" and "true_boxes".
        """
        results = self._collected()
        return {
            "several": {
                "iou": results["iou"][:, self._fixed],
                "boxes": np.sum(results["scores"][:, self._fixed] >= 0, axis=1),
                "right_boxes": np.sum(results["is_right"][:, self._fixed], axis=1),
                "true_boxes": results["true_boxes"],
            }
        }

    @staticmethod
    def cells(figures, threshold_split):
        """Returns the cells of a line of the table."""

        def cell(key):
            return format_figure(figures[key], figures.get(f"{key}_interval"))

        line = {
            f"AP at {figures['threshold']:g}": cell("average_precision"),
            "recall": cell("recall"),
            "recall of the largest box": cell("recall_of_largest"),
            "true boxes": str(figures["true_boxes"]),
        }
        if threshold_split:
            chosen = f"{cell('average_precision_at_chosen_threshold')} ({figures['threshold_chosen']})"
            line[f"AP at the threshold chosen on {threshold_split}"] = chosen
            line[f"recall at the threshold chosen on {threshold_split}"] = cell("recall_at_chosen_threshold")
        best = f"{cell('average_precision_best_on_evaluated_data')} ({figures['best_threshold_on_evaluated_data']})"
        line["best AP (threshold chosen on these images)"] = best
        return line

    def _collected(self) -> dict[str, np.ndarray]:
        if not sum(len(measured["true_boxes"]) for measured in self._results):
            raise RuntimeError("No image has been measured yet; call update first.")
        return {key: np.concatenate([measured[key] for measured in self._results]) for key in self._results[0]}


def _match(ious: tf.Tensor, least: float) -> tf.Tensor:
    """Returns whether boxes, the first one first, match a true box that no earlier one has matched: bool [B, T, M].

    Args:
      ious: float64 [B, T, M, G] of boxes and true boxes.
      least: the IoU from which a box matches.
    """
    is_free = tf.ones_like(ious[:, :, 0], tf.bool)
    is_right = []
    for one in tf.unstack(ious, axis=2):
        free = tf.where(is_free, one, -1.0)
        is_match = tf.reduce_max(free, axis=-1) >= least
        is_right.append(is_match)
        is_best = tf.one_hot(tf.argmax(free, axis=-1), tf.shape(free)[-1], on_value=True, off_value=False)
        is_free &= ~(is_best & is_match[..., tf.newaxis])
    return tf.stack(is_right, axis=2)


def average_precision(
    scores: np.ndarray, is_right: np.ndarray, true_boxes: np.ndarray, times: np.ndarray | None = None
) -> list[float]:
    """Returns the area below the curve of the highest precision at each recall or a higher one.

    Args:
      scores: [N, M], of the boxes of N images; negative for boxes that an image does not have.
      is_right: bool [N, M].
      true_boxes: int [N], their numbers; their sum must not be 0 in a sample.
      times: int [S, N], how often each image is in each sample; None for a single sample with each image once.

    Returns:
      The average precision in each sample, 0..1.
    """
    image, box = np.nonzero(scores >= 0)
    ranked = scores[image, box]
    order = np.argsort(-ranked, kind="stable")
    ranked, image, is_right = ranked[order], image[order], is_right[image, box][order]
    is_last = np.append(ranked[1:] != ranked[:-1], True)[: len(ranked)]  # of equal scores
    precisions = []
    for sample in np.ones([1, len(scores)], np.int64) if times is None else times:
        weight = sample[image]
        right = np.cumsum(weight * is_right)[is_last]
        precision = right / np.maximum(np.cumsum(weight)[is_last], 1)
        highest = np.maximum.accumulate(precision[::-1])[::-1]
        precisions.append(float(np.sum(highest * np.diff(right, prepend=0)) / (sample @ true_boxes)))
    return precisions
