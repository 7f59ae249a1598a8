"""Kinds of failures: how a wrong box differs from the ground truth.

The kinds are this project's own. They depend on coverage, the share of the ground truth inside the box, and precision,
the share of the box inside the ground truth. Every wrong box has exactly one kind.
"""
from __future__ import annotations

import numpy as np

from ornet_tf.maps.boxes import iou

_HALF = 0.5
_PART = 0.25  # with a coverage below it, a box has only found a part of the object

# Name -> meaning, in the order of reports.
FAILURE_KINDS = {
    "part": f"mostly on the object, but covers less than {_PART:.0%} of it",
    "too small": f"mostly on the object, but covers {_PART:.0%} to {_HALF:.0%} of it",
    "too large": f"covers at least {_HALF:.0%} of the object, but less than {_HALF:.0%} of the box is object",
    "inexact": f"covers at least {_HALF:.0%} of the object, and at least {_HALF:.0%} of the box is object",
    "wrong place": f"covers less than {_HALF:.0%} of the object, and less than {_HALF:.0%} of the box is object",
}


def coverage_and_precision(predicted: np.ndarray, ground_truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns coverage and precision of predicted boxes with their best ground truth.

    The best ground truth is the one with the largest IoU, of equal ones the first.

    Args:
      predicted: float [B, 4], half-open edges ymin, xmin, ymax, xmax.
      ground_truth: float [B, M, 4] in the same frame; rows without area are padding.

    Returns:
      Coverage, the share of the ground truth inside the box, and precision, the share of the box inside the ground
      truth: float64 [B] in 0..1, NaN without ground truth. Precision is 0 for a box without area.
    """
    predicted, ground_truth = np.asarray(predicted, np.float64), np.asarray(ground_truth, np.float64)
    is_real = np.all(ground_truth[..., 2:] > ground_truth[..., :2], axis=-1)  # [B, M]
    ious = np.where(is_real, np.asarray(iou(predicted[:, np.newaxis], ground_truth)), -1.0)
    best = np.take_along_axis(ground_truth, np.argmax(ious, axis=1)[:, np.newaxis, np.newaxis], axis=1)[:, 0]
    low, high = np.maximum(predicted[:, :2], best[:, :2]), np.minimum(predicted[:, 2:], best[:, 2:])
    intersection, has_truth = _area(np.concatenate([low, high], axis=1)), is_real.any(axis=1)
    zeros = np.zeros_like(intersection)
    coverage = np.divide(intersection, _area(best), out=zeros.copy(), where=_area(best) > 0)
    precision = np.divide(intersection, _area(predicted), out=zeros.copy(), where=_area(predicted) > 0)
    return np.where(has_truth, coverage, np.nan), np.where(has_truth, precision, np.nan)


def count_failures(right: np.ndarray, coverage: np.ndarray, precision: np.ndarray) -> dict[str, int]:
    """Returns "right" -> the number of right boxes, and kind of failure -> the number of wrong boxes of this kind.

    Args:
      right: [N], 1 for a right box, 0 for a wrong one, NaN for images without ground truth, which are not counted.
      coverage: [N], see `coverage_and_precision`.
      precision: [N], see `coverage_and_precision`.
    """
    has_truth = ~np.isnan(right)
    right, coverage, precision = right[has_truth] == 1, coverage[has_truth], precision[has_truth]
    is_precise, is_covering = precision >= _HALF, coverage >= _HALF
    is_kind = {
        "part": is_precise & (coverage < _PART),
        "too small": is_precise & (coverage >= _PART) & ~is_covering,
        "too large": is_covering & ~is_precise,
        "inexact": is_precise & is_covering,
        "wrong place": ~is_precise & ~is_covering,
    }
    return {"right": int(right.sum()), **{kind: int((is_kind[kind] & ~right).sum()) for kind in FAILURE_KINDS}}


def _area(boxes: np.ndarray) -> np.ndarray:
    return np.prod(np.maximum(boxes[..., 2:] - boxes[..., :2], 0.0), axis=-1)
