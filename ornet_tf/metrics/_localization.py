"""What the metrics with one box for each threshold share: CorLoc, LocErr and ClsErr with their intervals."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ornet_tf.metrics import Settings, _failure_kinds, number, out_of_view
from ornet_tf.metrics._localization_metrics import LocalizationMetrics


class Accumulator:
    """`LocalizationMetrics` with intervals, and with the box of each image at the fixed threshold."""

    def __init__(self, settings: Settings, **options: Any):
        """Takes the options of `LocalizationMetrics`."""
        self._metrics = LocalizationMetrics(
            threshold=settings.threshold, iou_threshold=settings.iou_threshold, **options
        )
        self._bootstrap = settings.bootstrap
        self._fixed = int(np.argmin(np.abs(np.asarray(options["thresholds"]) - settings.threshold)))
        self._boxes = []
        self._shares = []
        self._out_of_view = 0

    def update(self, boxes: np.ndarray, ground_truth: np.ndarray, truth: Mapping[str, np.ndarray]) -> None:
        """Adds boxes [B, T, 4] of a batch."""
        self._out_of_view += int(np.sum(out_of_view(truth["boxes"])))
        self._metrics.update(boxes, ground_truth, truth["logits"], truth["label"])
        self._boxes.append(boxes[:, self._fixed])
        self._shares.append(_failure_kinds.shares(boxes[:, self._fixed], ground_truth))

    def summary(self, chosen_on: Mapping[str, Any] | None) -> dict[str, Any]:
        """Returns the figures of `LocalizationMetrics.summary` and, where there is truth, more.

        `..._interval` are the ends of intervals. That of a best threshold chooses it anew in each sample. With
        `chosen_on`: `threshold_chosen` and what it gives.
        """
        figures = {**self._metrics.summary(), "images_out_of_view": self._out_of_view}
        found = self._metrics.found()
        known = ~np.isnan(found.ious[:, 0])
        sums = self._bootstrap.sums(
            np.column_stack([found.top1, found.right[:, self._fixed] & found.top1, known, found.right])
        )
        best = figures["best_threshold_on_evaluated_data"]
        if sums is not None:
            interval, counted = self._bootstrap.interval, np.maximum(sums[:, 2], 1)
            figures["clserr_top1_interval"] = interval(100 - 100 * sums[:, 0] / len(known))
            if best is not None:
                corloc = 100 * sums[:, 3:] / counted[:, np.newaxis]
                figures["locerr_top1_interval"] = interval(100 - 100 * sums[:, 1] / counted)
                figures["corloc_interval"] = interval(corloc[:, self._fixed])
                figures["corloc_best_on_evaluated_data_interval"] = interval(np.max(corloc, axis=1))
        if chosen_on is not None:
            chosen = chosen_on["best_threshold_on_evaluated_data"]
            figures["threshold_chosen"], figures["corloc_at_chosen_threshold"] = chosen, None
            if chosen is not None and best is not None:
                index = figures["thresholds"].index(chosen)
                figures["corloc_at_chosen_threshold"] = figures["corloc_by_threshold"][index]
                if sums is not None:
                    figures["corloc_at_chosen_threshold_interval"] = interval(corloc[:, index])
        return figures

    def per_image(self) -> dict[str, np.ndarray]:
        """Returns the columns of each image, of its box at the fixed threshold.

        They are "iou", "right" (1, 0, NaN), "coverage" and "precision" (see `failures.shares`), "rank" and the sides of
        the box in fractions of the view.
        """
        found = self._metrics.found()
        iou = found.ious[:, self._fixed]
        right = np.where(np.isnan(iou), np.nan, found.right[:, self._fixed])
        sides = dict(zip(("ymin", "xmin", "ymax", "xmax"), np.concatenate(self._boxes).T))
        coverage, precision = np.concatenate(self._shares, axis=1)
        return {
            "iou": iou, "right": right, "coverage": coverage, "precision": precision, "rank": found.ranks, **sides
        }


def cells(s: Mapping[str, Any], threshold_split: str) -> dict[str, str]:
    """Returns the cells of a line of the table."""
    line = {f"CorLoc at {s['threshold']:g}": number(s["corloc"], s.get("corloc_interval"))}
    if threshold_split:
        at_chosen = number(s["corloc_at_chosen_threshold"], s.get("corloc_at_chosen_threshold_interval"))
        line[f"at the threshold chosen on {threshold_split}"] = f"{at_chosen} ({s['threshold_chosen']})"
    best = number(s["corloc_best_on_evaluated_data"], s.get("corloc_best_on_evaluated_data_interval"))
    line["best (threshold chosen on these images)"] = f"{best} ({s['best_threshold_on_evaluated_data']})"
    line["spread {:g}-{:g}".format(*s["corloc_spread_range"])] = number(s["corloc_spread"])
    line["LocErr top-1"] = number(s["locerr_top1"], s.get("locerr_top1_interval"))
    line["LocErr top-5"] = number(s["locerr_top5"])
    line["ClsErr top-1"] = number(s["clserr_top1"], s.get("clserr_top1_interval"))
    line["ClsErr top-5"] = number(s["clserr_top5"])
    return line
