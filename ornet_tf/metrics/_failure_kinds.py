"""Failures by kind: what is wrong with a box that does not match the truth.

The kinds are this project's, from two shares: how much of the truth the box covers, and how much of the box lies on the
truth. They exclude each other, and every wrong box has one.
"""
from __future__ import annotations

import numpy as np

from ornet_tf.maps.boxes import iou

_HALF = 0.5  # of a share: from here on it counts as met
_PART = 0.25  # a box inside the truth that covers less than this found a part only

# Name -> what it means, in the order of reports.
KINDS = {
    "part": f"on the object, but covers less than {_PART:.0%} of it",
    "too small": f"on the object, but covers {_PART:.0%} to {_HALF:.0%} of it",
    "too large": f"covers at least {_HALF:.0%} of the object, but less than {_HALF:.0%} of the box is object",
    "inexact": f"covers at least {_HALF:.0%} of the object and lies on it by at least {_HALF:.0%}, yet not well enough",
    "wrong place": f"covers less than {_HALF:.0%} of the object, and less than {_HALF:.0%} of the box is object",
}


def shares(predicted: np.ndarray, ground_truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns how well boxes and the best of their truths cover each other.

    Args:
      predicted: float [B, 4], half-open edges ymin, xmin, ymax, xmax.
      ground_truth: float [B, M, 4] in the same frame; rows without area are padding.

    Returns:
      Coverage, the share of the truth that is in the box, and precision, the share of the box that is in the truth:
      float64 [B] in 0..1, NaN where there is no truth; precision is 0 for a box without area. The truth with the
      largest overlap (IoU) counts, the first of equals.
    """
    predicted, ground_truth = np.asarray(predicted, np.float64), np.asarray(ground_truth, np.float64)
    is_real = np.all(ground_truth[..., 2:] > ground_truth[..., :2], axis=-1)  # [B, M]
    overlap = np.where(is_real, np.asarray(iou(predicted[:, np.newaxis], ground_truth)), -1.0)
    best = np.take_along_axis(ground_truth, np.argmax(overlap, axis=1)[:, np.newaxis, np.newaxis], axis=1)[:, 0]
    low, high = np.maximum(predicted[:, :2], best[:, :2]), np.minimum(predicted[:, 2:], best[:, 2:])
    both = np.concatenate([low, high], axis=1)
    common, known = _area(both), is_real.any(axis=1)
    coverage = np.divide(common, _area(best), out=np.zeros_like(common), where=_area(best) > 0)
    precision = np.divide(common, _area(predicted), out=np.zeros_like(common), where=_area(predicted) > 0)
    return np.where(known, coverage, np.nan), np.where(known, precision, np.nan)


def count(right: np.ndarray, coverage: np.ndarray, precision: np.ndarray) -> dict[str, int]:
    """Returns how many boxes are "right" and how many fail in each way; NaN, which has no truth, is left out.

    Args:
      right: [N], 1 where the box counts as right, 0 or NaN.
      coverage: [N], see `shares`.
      precision: [N].
    """
    known = ~np.isnan(right)
    right, covers, lies = right[known] == 1, coverage[known], precision[known]
    on_it, of_it = lies >= _HALF, covers >= _HALF
    is_kind = {
        "part": on_it & (covers < _PART),
        "too small": on_it & (covers >= _PART) & ~of_it,
        "too large": of_it & ~on_it,
        "inexact": on_it & of_it,
        "wrong place": ~on_it & ~of_it,
    }
    return {"right": int(right.sum()), **{kind: int((is_kind[kind] & ~right).sum()) for kind in KINDS}}


def _area(boxes: np.ndarray) -> np.ndarray:
    return np.prod(np.maximum(boxes[..., 2:] - boxes[..., :2], 0.0), axis=-1)
