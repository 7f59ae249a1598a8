"""CorLoc, LocErr and ClsErr with intervals, for metrics with one box at each threshold."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ornet_tf.metrics import Settings, _failure_kinds, format_figure, is_out_of_view
from ornet_tf.metrics._localization_metrics import LocalizationMetrics, best_ious

# A figure of the split that thresholds are chosen on -> the names of this threshold and of the CorLoc at it elsewhere.
# Pseudo boxes have their own names, so that such a threshold is never taken for one that was chosen on ground truth.
_CHOSEN = {
    "best_threshold_on_evaluated_data": ("threshold_chosen", "corloc_at_chosen_threshold"),
    "best_threshold_on_pseudo_boxes": (
        "threshold_chosen_on_pseudo_boxes",
        "corloc_at_threshold_chosen_on_pseudo_boxes",
    ),
}


class Accumulator:
    """Adds intervals, and each image's box at the fixed threshold, to `LocalizationMetrics`."""

    def __init__(self, settings: Settings, **options: Any):
        """Takes the options of `LocalizationMetrics`."""
        self._metrics = LocalizationMetrics(
            threshold=settings.threshold, iou_threshold=settings.iou_threshold, **options
        )
        self._bootstrap = settings.bootstrap
        self._thresholds = np.asarray(options["thresholds"])
        self._fixed = int(np.argmin(np.abs(self._thresholds - settings.threshold)))
        self._boxes, self._box_scores = [], []
        self._pseudo_ious = []
        self._coverage_and_precision = []
        self._out_of_view = 0

    def update(
        self,
        boxes: np.ndarray,
        ground_truth: np.ndarray,
        truth: Mapping[str, np.ndarray],
        *,
        box_scores: np.ndarray | None = None,
    ) -> None:
        """Adds a batch.

        Args:
          boxes: float [B, T, 4], the predicted box at each threshold.
          ground_truth: float [B, M, 4], the boxes to compare with.
          truth: as in `Metric.update`.
          box_scores: float [B], of the boxes at the fixed threshold; None, in all batches, for a metric without scores.
        """
        self._out_of_view += int(np.sum(is_out_of_view(truth["boxes"])))
        self._metrics.update(boxes, ground_truth, truth["logits"], truth["label"])
        if "pseudo_boxes" in truth:
            self._pseudo_ious.append(best_ious(boxes, truth["pseudo_boxes"]))
        if box_scores is not None:
            self._box_scores.append(box_scores)
        fixed = boxes[:, self._fixed]
        self._boxes.append(fixed)
        self._coverage_and_precision.append(_failure_kinds.coverage_and_precision(fixed, ground_truth))

    def summary(self, chosen_on: Mapping[str, Any] | None) -> dict[str, Any]:
        """Returns the figures of `LocalizationMetrics.summary`, with intervals.

        `..._interval` are the ends of a figure's interval. For a figure at the best threshold, each sample chooses its
        own best threshold. `chosen_on` adds `threshold_chosen` and the figure at that threshold, and the same for
        pseudo boxes (see `_best_on_pseudo_boxes`) if it was measured with them. `box_score_auroc`, 0..1, is that of the
        scores for "the box at the fixed threshold is right"; None if all are right or none is.
        """
        figures = {**self._metrics.summary(), "images_out_of_view": self._out_of_view, **self._best_on_pseudo_boxes()}
        results = self._metrics.results()
        has_truth = ~np.isnan(results.ious[:, 0])
        both_right = results.right[:, self._fixed] & results.top1
        sums = self._bootstrap.sums(np.column_stack([results.top1, both_right, has_truth, results.right]))
        best = figures["best_threshold_on_evaluated_data"]
        if self._box_scores:
            scores = np.concatenate(self._box_scores)
            figures["box_score_auroc"] = auroc(scores[has_truth], results.right[has_truth, self._fixed])
        if sums is not None:
            interval = self._bootstrap.interval
            counted = np.where(sums[:, 2] > 0, sums[:, 2], np.nan)  # a sample may have no image with a box
            figures["clserr_top1_interval"] = interval(100 - 100 * sums[:, 0] / len(has_truth))
            if best is not None:
                corloc = 100 * sums[:, 3:] / counted[:, np.newaxis]
                figures["locerr_top1_interval"] = interval(100 - 100 * sums[:, 1] / counted)
                figures["corloc_interval"] = interval(corloc[:, self._fixed])
                figures["corloc_best_on_evaluated_data_interval"] = interval(np.max(corloc, axis=1))
        for key, (name, corloc_name) in _CHOSEN.items():
            if key not in (chosen_on or {}):
                continue
            chosen = figures[name] = chosen_on[key]
            figures[corloc_name] = None
            if chosen is not None and best is not None:
                index = figures["thresholds"].index(chosen)
                figures[corloc_name] = figures["corloc_by_threshold"][index]
                if sums is not None:
                    figures[f"{corloc_name}_interval"] = interval(corloc[:, index])
        return figures

    def _best_on_pseudo_boxes(self) -> dict[str, Any]:
        """Returns the threshold with the highest mean IoU with the pseudo boxes; nothing without pseudo boxes.

        The mean IoU decides, not CorLoc: a row that has learned from pseudo masks has nearly full CorLoc with them at
        many thresholds, so that chance would choose among these. benchmarks/cub10/README.md compares both.
        """
        if not self._pseudo_ious:
            return {}
        ious = np.concatenate(self._pseudo_ious)
        ious = ious[~np.isnan(ious[:, 0])]
        best = float(self._thresholds[np.argmax(np.mean(ious, axis=0))]) if len(ious) else None
        return {"images_with_pseudo_boxes": len(ious), "best_threshold_on_pseudo_boxes": best}

    def per_image(self) -> dict[str, np.ndarray]:
        """Returns the columns of all images, for the box at the fixed threshold.

        They are "iou", "right" (1, 0, NaN), "coverage" and "precision" (see `_failure_kinds.coverage_and_precision`),
        "box_score" if there are scores, "rank" and the edges of the box in fractions of the view.
        """
        results = self._metrics.results()
        iou = results.ious[:, self._fixed]
        right = np.where(np.isnan(iou), np.nan, results.right[:, self._fixed])
        edges = dict(zip(("ymin", "xmin", "ymax", "xmax"), np.concatenate(self._boxes).T))
        coverage, precision = np.concatenate(self._coverage_and_precision, axis=1)
        quality = {"iou": iou, "right": right, "coverage": coverage, "precision": precision}
        scores = {"box_score": np.concatenate(self._box_scores)} if self._box_scores else {}
        return {**quality, **scores, "rank": results.ranks, **edges}


def auroc(scores: np.ndarray, is_right: np.ndarray) -> float | None:
    """Returns the area under the ROC curve: the share of pairs in which the right one has the higher score.

    Equal scores count half.

    Args:
      scores: float [N].
      is_right: bool [N].

    Returns:
      The area, 0..1: 0.5 for scores that tell nothing; None if all or none are right.
    """
    right, wrong = scores[is_right], np.sort(scores[~is_right])
    if not right.size or not wrong.size:
        return None
    below, up_to = (np.searchsorted(wrong, right, side=side) for side in ("left", "right"))
    return float(np.mean(below + up_to) / (2 * wrong.size))


def cells(figures: Mapping[str, Any], threshold_split: str) -> dict[str, str]:
    """Returns column -> cell of a line of the table; see `Metric.cells`."""

    def cell(key):
        return format_figure(figures[key], figures.get(f"{key}_interval"))

    line = {f"CorLoc at {figures['threshold']:g}": cell("corloc")}
    by_iou = figures["corloc_by_iou"]
    line["with IoU 0.7"] = format_figure(by_iou and by_iou["0.7"])
    line["mean IoU"] = "-" if by_iou is None else f"{figures['mean_iou']:.3f}"
    if "box_score_auroc" in figures:
        area = figures["box_score_auroc"]
        line["AUROC of the box score"] = "-" if area is None else f"{area:.3f}"
    if threshold_split:
        for on, (threshold, corloc) in zip(("", "pseudo boxes of the object prior for "), _CHOSEN.values()):
            if threshold in figures:
                line[f"at the threshold chosen on {on}{threshold_split}"] = f"{cell(corloc)} ({figures[threshold]})"
    best = f"{cell('corloc_best_on_evaluated_data')} ({figures['best_threshold_on_evaluated_data']})"
    line["best (threshold chosen on these images)"] = best
    line["spread {:g}-{:g}".format(*figures["corloc_spread_range"])] = cell("corloc_spread")
    line["LocErr top-1"], line["LocErr top-5"] = cell("locerr_top1"), cell("locerr_top5")
    line["ClsErr top-1"], line["ClsErr top-5"] = cell("clserr_top1"), cell("clserr_top5")
    return line
