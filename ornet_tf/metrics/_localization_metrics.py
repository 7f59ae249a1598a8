"""CorLoc, LocErr and ClsErr in percent.

CorLoc (higher is better): the box is right. ClsErr top-k (lower is better): the label is not among the k highest
logits. LocErr top-k (lower is better): the box is wrong or the label is not among the k highest logits.

Papers differ in these conventions. Here a box is right if its IoU with the best of the image's ground-truth boxes is at
least `iou_threshold`, or above it with `more_than`, as in the ORNet authors' code. Edges are half-open. Of equal logits
the one of the lower class counts as higher, as in tf.math.top_k. With fewer than five classes, top-5 means all classes.
"""
from __future__ import annotations

import typing
from collections.abc import Sequence

import numpy as np

from ornet_tf.errors import NotFiniteError
from ornet_tf.maps.boxes import iou

THRESHOLDS = tuple(i / 20 for i in range(1, 20))  # 0.05, 0.1 ... 0.95; adding up steps would add up rounding errors
_SAME_THRESHOLD = 1e-6
_SAME_IOU = 1e-6
_NEED_BOXES = (
    "corloc",
    "locerr_top1",
    "locerr_top5",
    "best_threshold_on_evaluated_data",
    "corloc_best_on_evaluated_data",
    "locerr_top1_best_on_evaluated_data",
    "locerr_top5_best_on_evaluated_data",
    "corloc_by_threshold",
    "corloc_spread",
    "corloc_by_iou",
    "mean_iou",
)
_IOUS = (0.3, 0.5, 0.7)  # of `corloc_by_iou`, whose mean is that of MaxBoxAccV2


class LocalizationResults(typing.NamedTuple):
    """The results of all N images.

    Attributes:
      ious: float64 [N, T], the IoU with the best ground truth, NaN without ground truth.
      right: bool [N, T], whether the IoU is large enough.
      ranks: int64 [N], how many classes rank before the label (0: the classifier is right).
      top1, top5: bool [N], whether the label is among the highest logits.
    """

    ious: np.ndarray
    right: np.ndarray
    ranks: np.ndarray
    top1: np.ndarray
    top5: np.ndarray


class LocalizationMetrics:
    """Accumulates the results of images, batch by batch.

    Args:
      thresholds: the T thresholds on the map that boxes are given for, ascending.
      threshold: the fixed threshold, one of `thresholds`.
      iou_threshold: the IoU from which a box is right, above 0 and at most 1.
      more_than: whether an IoU of exactly `iou_threshold` is too small.
      spread_range: the first and last threshold of `corloc_spread`, the largest minus the smallest CorLoc.

    Raises:
      ValueError: if `thresholds` is empty or does not ascend, or another argument is out of its range.
    """

    def __init__(
        self,
        *,
        thresholds: Sequence[float] = THRESHOLDS,
        threshold: float = 0.5,
        iou_threshold: float = 0.5,
        more_than: bool = False,
        spread_range: tuple = (0.2, 0.8),
    ):
        self._thresholds = np.asarray(thresholds, np.float64)
        if self._thresholds.ndim != 1 or not self._thresholds.size or not np.all(np.diff(self._thresholds) > 0):
            raise ValueError(f"thresholds must be a list of ascending numbers, got {thresholds}.")
        distance = np.abs(self._thresholds - threshold)
        self._fixed = int(np.argmin(distance))
        if not distance[self._fixed] <= _SAME_THRESHOLD:
            choices = ", ".join(f"{t:g}" for t in self._thresholds)
            raise ValueError(f"threshold must be one of {choices}; got {threshold}.")
        if not 0 < iou_threshold <= 1:
            raise ValueError(f"iou_threshold must lie above 0 and at most at 1, got {iou_threshold}.")
        self._iou_threshold = float(iou_threshold)
        self._more_than = more_than
        low, high = self._spread_range = tuple(float(edge) for edge in spread_range)
        above_low, below_high = self._thresholds >= low - _SAME_THRESHOLD, self._thresholds <= high + _SAME_THRESHOLD
        self._in_range = above_low & below_high
        self._classes = None
        self._ious = []
        self._ranks = []

    def update(self, boxes, ground_truth, logits, labels) -> None:
        """Adds a batch; arguments may be tensors or arrays.

        Args:
          boxes: float [B, T, 4], the predicted box at each threshold.
          ground_truth: float [B, M, 4] in the same coordinates; rows without area are padding. An image whose rows are
            all padding counts for classification only.
          logits: float [B, K] of the classifier.
          labels: integer [B], 0..K-1.

        Raises:
          NotFiniteError: if boxes or logits are NaN or infinite.
          ValueError: for another shape, or a label out of range.
          TypeError: if labels are not integers.
        """
        labels = np.asarray(labels)
        if not np.issubdtype(labels.dtype, np.integer):
            raise TypeError(f"labels must be integers, got {labels.dtype}.")
        labels = _check_shape("labels", labels, [None])
        count = len(labels)
        boxes = _check_finite("boxes", boxes, [count, len(self._thresholds), 4])
        ground_truth = _check_finite("ground_truth", ground_truth, [count, None, 4])
        logits = _check_finite("logits", logits, [count, self._classes])
        if count and not 0 <= labels.min() <= labels.max() < logits.shape[1]:
            raise ValueError(f"labels must lie in 0..{logits.shape[1] - 1}, got {labels.min()}..{labels.max()}.")
        self._classes = logits.shape[1]
        self._ious.append(best_ious(boxes, ground_truth))
        self._ranks.append(_ranks(logits, labels))

    def summary(self) -> dict:
        """Returns all figures as plain numbers and lists, ready for JSON; CorLoc and errors in percent.

        Keys that end in `on_evaluated_data` are for the threshold with the best CorLoc on these images, of equal ones
        the lowest. Such figures are optimistic, but the ORNet authors report them. Figures that need boxes are None if
        no image has any.

        Raises:
          RuntimeError: if there was no update.
        """
        results = self.results()
        is_in_top = {"top1": results.top1, "top5": results.top5}
        has_boxes = ~np.isnan(results.ious[:, 0])
        right = results.right[has_boxes]  # [N, T]
        figures = {
            "images": len(results.ranks),
            "images_with_boxes": len(right),
            "iou_threshold": self._iou_threshold,
            "threshold": float(self._thresholds[self._fixed]),
            "thresholds": self._thresholds.tolist(),
            "corloc_spread_range": list(self._spread_range),
            **{f"clserr_{name}": _percent(~is_right) for name, is_right in is_in_top.items()},
            **dict.fromkeys(_NEED_BOXES),
        }
        if not len(right):
            return figures
        corloc = 100.0 * np.sum(right, axis=0) / len(right)
        best = int(np.argmax(corloc))
        for suffix, index in (("", self._fixed), ("_best_on_evaluated_data", best)):
            figures[f"corloc{suffix}"] = float(corloc[index])
            for name, is_right in is_in_top.items():
                figures[f"locerr_{name}{suffix}"] = _percent(~(right[:, index] & is_right[has_boxes]))
        ious = results.ious[has_boxes, self._fixed]
        figures["corloc_by_iou"] = {f"{least:g}": _percent(self._is_right(ious, least)) for least in _IOUS}
        figures["mean_iou"] = float(np.mean(ious))
        figures["best_threshold_on_evaluated_data"] = float(self._thresholds[best])
        figures["corloc_by_threshold"] = corloc.tolist()
        if self._in_range.any():
            figures["corloc_spread"] = float(np.ptp(corloc[self._in_range]))
        return figures

    def results(self) -> LocalizationResults:
        """Returns the results of all images, in the order of the updates.

        Raises:
          RuntimeError: if there was no update.
        """
        if not self._ranks or not sum(len(ranks) for ranks in self._ranks):
            raise RuntimeError("No image has been measured yet; call update first.")
        ious, ranks = np.concatenate(self._ious), np.concatenate(self._ranks)
        right = self._is_right(ious, self._iou_threshold)
        return LocalizationResults(ious, right, ranks, ranks < 1, ranks < min(5, self._classes))

    def _is_right(self, ious: np.ndarray, least: float) -> np.ndarray:
        """Returns whether IoUs are large enough; False for NaN, which stands for no ground truth."""
        # Boxes are float32, so an IoU of exactly the threshold can be computed as slightly more.
        return ious >= least + (_SAME_IOU if self._more_than else 0.0)


def _check_shape(name: str, value, shape: list) -> np.ndarray:
    """Converts a value to an array and checks its shape, in which None allows any length."""
    value = np.asarray(value)
    if value.ndim != len(shape) or any(size not in (None, actual) for size, actual in zip(shape, value.shape)):
        expected = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"{name} must have the shape [{expected}], got {list(value.shape)}.")
    return value


def _check_finite(name: str, value, shape: list) -> np.ndarray:
    """Converts a value to a float64 array and checks that it has a shape and only finite numbers."""
    value = _check_shape(name, value, shape).astype(np.float64)
    if not np.all(np.isfinite(value)):
        raise NotFiniteError(f"{name} must be finite, got NaN or infinity: the model has diverged.")
    return value


def best_ious(boxes: np.ndarray, ground_truth: np.ndarray) -> np.ndarray:
    """Returns the IoU of boxes [B, T, 4] with the best ground truth [B, M, 4], [B, T]; NaN without ground truth."""
    is_real = np.all(ground_truth[..., 2:] > ground_truth[..., :2], axis=-1)  # [B, M]
    ious = np.asarray(iou(boxes[:, :, np.newaxis], ground_truth[:, np.newaxis]))  # [B, T, M]
    best = np.max(np.where(is_real[:, np.newaxis], ious, 0.0), axis=-1, initial=0.0)
    return np.where(is_real.any(axis=-1)[:, np.newaxis], best, np.nan)


def _ranks(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns how many classes rank before the label, int64 [B]."""
    own = np.take_along_axis(logits, labels[:, np.newaxis].astype(np.int64), axis=1)
    earlier = np.arange(logits.shape[1]) < labels[:, np.newaxis]
    return np.sum((logits > own) | ((logits == own) & earlier), axis=1)


def _percent(is_wrong: np.ndarray) -> float:
    return float(100.0 * np.mean(is_wrong))
