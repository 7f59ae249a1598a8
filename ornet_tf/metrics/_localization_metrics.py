"""How well boxes and classes match the truth: CorLoc, LocErr and ClsErr, all in percent.

CorLoc (higher is better): the box is right. ClsErr top-k (lower is better): the label is not among the k highest
logits. LocErr top-k (lower is better): the box is wrong or the label is not among the k highest logits.

Conventions, which differ between papers. A box is right if its intersection over union with the best of the image's
ground-truth boxes is at least `iou_threshold`; with `more_than`, if it is more than that, as in the ORNet authors'
code. Edges are half-open. Of equal logits, that of the lower class counts as higher, as in tf.math.top_k. Top-5 of
fewer than five classes means all of them.
"""
from __future__ import annotations

import typing
from collections.abc import Sequence

import numpy as np

from ornet_tf.errors import NotFiniteError
from ornet_tf.maps.boxes import iou

THRESHOLDS = tuple(i / 20 for i in range(1, 20))  # 0.05, 0.1 ... 0.95; a sum of steps would drift from these.
_SAME_THRESHOLD = 1e-6
_SAME_OVERLAP = 1e-6
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
)


class Found(typing.NamedTuple):
    """The results of all N images.

    Attributes:
      ious: float64 [N, T], the overlap with the best ground truth, NaN where there is none.
      right: bool [N, T], whether that is enough.
      ranks: int64 [N], how many classes come before the label (0: the classifier is right).
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
      thresholds: T thresholds on the map, ascending, for which boxes will come.
      threshold: the one fixed beforehand; one of `thresholds`.
      iou_threshold: how much overlap makes a box right, 0..1 without 0.
      more_than: whether an overlap of exactly `iou_threshold` is too little.
      spread_range: the first and the last threshold for `corloc_spread`, largest minus smallest CorLoc.

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
            known = ", ".join(f"{t:g}" for t in self._thresholds)
            raise ValueError(f"threshold must be one of {known}; got {threshold}.")
        if not 0 < iou_threshold <= 1:
            raise ValueError(f"iou_threshold must lie above 0 and at most at 1, got {iou_threshold}.")
        self._iou_threshold = float(iou_threshold)
        self._more_than = more_than
        low, high = self._spread_range = tuple(float(edge) for edge in spread_range)
        near = _SAME_THRESHOLD
        self._in_range = (self._thresholds >= low - near) & (self._thresholds <= high + near)
        self.reset()

    def reset(self) -> None:
        """Forgets all images."""
        self._classes = None
        self._ious = []
        self._ranks = []

    def update(self, boxes, ground_truth, logits, labels) -> None:
        """Adds a batch; arguments may be tensors or arrays.

        Args:
          boxes: float [B, T, 4], one predicted box for each threshold.
          ground_truth: float [B, M, 4] in the same frame; rows without area are padding. An image with no other row
            counts for classification only.
          logits: float [B, K] of the classifier.
          labels: integer [B], 0..K-1.

        Raises:
          NotFiniteError: if boxes or logits are NaN or infinite.
          ValueError: if a shape or a label is not as above.
          TypeError: if labels are not integers.
        """
        labels = np.asarray(labels)
        if not np.issubdtype(labels.dtype, np.integer):
            raise TypeError(f"labels must be integers, got {labels.dtype}.")
        labels = _shaped("labels", labels, [None])
        count = len(labels)
        boxes = _finite("boxes", boxes, [count, len(self._thresholds), 4])
        ground_truth = _finite("ground_truth", ground_truth, [count, None, 4])
        logits = _finite("logits", logits, [count, self._classes])
        if count and not 0 <= labels.min() <= labels.max() < logits.shape[1]:
            raise ValueError(f"labels must lie in 0..{logits.shape[1] - 1}, got {labels.min()}..{labels.max()}.")
        self._classes = logits.shape[1]
        self._ious.append(_best_ious(boxes, ground_truth))
        self._ranks.append(_ranks(logits, labels))

    def per_image(self) -> dict:
        """Returns the results of each image, in the order of the updates.

        Returns:
          `iou`: float64 [N] of the box at the fixed threshold with the best ground truth, NaN where there is none;
          `rank`: int64 [N], how many classes come before the label (0: the classifier is right).

        Raises:
          RuntimeError: if there was no update since the start or the last reset.
        """
        found = self.found()
        return {"iou": found.ious[:, self._fixed], "rank": found.ranks}

    def summary(self) -> dict:
        """Returns all figures as plain numbers and lists, ready for JSON; CorLoc and errors in percent.

        Keys that end in `on_evaluated_data` belong to the threshold with the best CorLoc on these very images, the
        lowest of equals: no fair estimate, but what the ORNet authors report. Figures that need boxes are None if no
        image has any.

        Raises:
          RuntimeError: if there was no update since the start or the last reset.
        """
        found = self.found()
        known = {"top1": found.top1, "top5": found.top5}
        with_boxes = ~np.isnan(found.ious[:, 0])
        right = found.right[with_boxes]  # [N, T]
        figures = {
            "images": len(found.ranks),
            "images_with_boxes": len(right),
            "iou_threshold": self._iou_threshold,
            "threshold": float(self._thresholds[self._fixed]),
            "thresholds": self._thresholds.tolist(),
            "corloc_spread_range": list(self._spread_range),
            **{f"clserr_{name}": _percent(~is_known) for name, is_known in known.items()},
            **dict.fromkeys(_NEED_BOXES),
        }
        if not len(right):
            return figures
        corloc = 100.0 * np.sum(right, axis=0) / len(right)
        best = int(np.argmax(corloc))
        for suffix, index in (("", self._fixed), ("_best_on_evaluated_data", best)):
            figures[f"corloc{suffix}"] = float(corloc[index])
            for name, is_known in known.items():
                figures[f"locerr_{name}{suffix}"] = _percent(~(right[:, index] & is_known[with_boxes]))
        figures["best_threshold_on_evaluated_data"] = float(self._thresholds[best])
        figures["corloc_by_threshold"] = corloc.tolist()
        if self._in_range.any():
            figures["corloc_spread"] = float(np.ptp(corloc[self._in_range]))
        return figures

    def found(self) -> Found:
        """Returns the results of all images, in the order of the updates.

        Raises:
          RuntimeError: if there was no update since the start or the last reset.
        """
        if not self._ranks or not sum(len(ranks) for ranks in self._ranks):
            raise RuntimeError("No image has been measured yet; call update first.")
        ious, ranks = np.concatenate(self._ious), np.concatenate(self._ranks)
        # Boxes come in float32: an overlap of exactly as much as asked for can look like a little more.
        least = self._iou_threshold + (_SAME_OVERLAP if self._more_than else 0.0)
        right = ious >= least  # False where there is no truth
        return Found(ious, right, ranks, ranks < 1, ranks < min(5, self._classes))


def _shaped(name: str, value, shape: list) -> np.ndarray:
    """Returns `value` as an array after checking its shape; None stands for any length."""
    value = np.asarray(value)
    if value.ndim != len(shape) or any(want not in (None, got) for want, got in zip(shape, value.shape)):
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise ValueError(f"{name} must have the shape [{wanted}], got {list(value.shape)}.")
    return value


def _finite(name: str, value, shape: list) -> np.ndarray:
    """Returns `value` as a float64 array after checking its shape and for NaN and infinity."""
    value = _shaped(name, value, shape).astype(np.float64)
    if not np.all(np.isfinite(value)):
        raise NotFiniteError(f"{name} must be finite, got NaN or infinity: the model's numbers run away.")
    return value


def _best_ious(boxes: np.ndarray, ground_truth: np.ndarray) -> np.ndarray:
    """Returns the overlap with the best ground truth, float64 [B, T]; NaN where an image has none."""
    real = np.all(ground_truth[..., 2:] > ground_truth[..., :2], axis=-1)  # [B, M]
    overlaps = np.asarray(iou(boxes[:, :, np.newaxis], ground_truth[:, np.newaxis]))  # [B, T, M]
    best = np.max(np.where(real[:, np.newaxis], overlaps, 0.0), axis=-1, initial=0.0)
    return np.where(real.any(axis=-1)[:, np.newaxis], best, np.nan)


def _ranks(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns how many classes come before the label, int64 [B]."""
    own = np.take_along_axis(logits, labels[:, np.newaxis].astype(np.int64), axis=1)
    earlier = np.arange(logits.shape[1]) < labels[:, np.newaxis]
    return np.sum((logits > own) | ((logits == own) & earlier), axis=1)


def _percent(wrong: np.ndarray) -> float:
    return float(100.0 * np.mean(wrong))
