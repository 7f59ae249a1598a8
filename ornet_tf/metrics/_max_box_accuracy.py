"""MaxBoxAcc and MaxBoxAccV2 of wsolevaluation (Choe et al., CVPR 2020, and its journal version), exact to the pixel.

1. The map is enlarged to the view, rescaled to 0..1 (`score_maps`) and rounded down to grey levels 0..255.
2. The thresholds t are a grid from 0 to below 1. Pixels are on if they are brighter than t times the brightest level,
   rounded down. A grid therefore has at most 255 different cuts.
3. OpenCV finds the contours. A box ends one pixel after its contour, or at the last pixel of the view. A cut without a
   contour has the first pixel as its box.
4. The ground truth is moved to the view and rounded down to whole pixels.
5. The IoU includes both edges of a box: a box from 3 to 3 is one pixel wide. A box is right if its IoU is at least the
   IoU threshold.
6. For each IoU threshold, one map threshold is chosen for all images: the best one on the evaluated images. That is
   what the benchmark reports.

Two differences from the original come from the input. The original uses the map of the true label, as our methods do
whose option `classes` is "label". Its view is the whole image, resized to 224 pixels: set config.input.resize = crop =
224. The ground truth comes in fractions of the view in float32; its whole pixels are those of the original numbers as
long as the sides of the images are below 10,000 pixels.
"""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from ornet_tf.errors import MissingPackageError, UserError
from ornet_tf.maps import score_maps
from ornet_tf.metrics import Settings, format_figure, is_out_of_view

_ROUNDING = 5e-5  # pixels; float32 moves an edge by less, and other true edges are further from a whole number


class MaxBoxAccuracy:
    """The base of both versions; a subclass sets `titles` and `iou_thresholds` and defines `select_contours`.

    It keeps a kilobyte per image: the IoU at each cut.

    Attributes:
      iou_thresholds: the IoU thresholds, in percent.
    """

    titles: dict = {}
    iou_thresholds: tuple = ()
    needs_masks = False

    def __init__(self, settings: Settings, *, interval: float = 0.001):
        """Uses `image_size` and `bootstrap` of the settings.

        Args:
          settings: the settings of the evaluation.
          interval: distance between two map thresholds; the original has 0.001, on its command line 0.01.

        Raises:
          UserError: if `interval` is not from 0.0005 to below 1.
          MissingPackageError: if OpenCV is not installed.
        """
        if not 0.0005 <= interval < 1:
            raise UserError(f"interval: expected at least 0.0005 and below 1, got {interval!r}; try 0.001.")
        self._cv2 = _opencv(next(iter(self.titles)))
        self._size, self._bootstrap = settings.image_size, settings.bootstrap
        grid = np.arange(0, 1, interval)
        # All maps but constant ones have 255 as their brightest level. Constant ones have no pixel on at any cut.
        self._cuts, first = np.unique((grid * 255).astype(np.int32), return_index=True)
        self._thresholds = grid[first]
        self._ious = []
        self._out_of_view = 0

    def select_contours(self, contours: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        """Returns the contours, of a non-empty list of OpenCV's contours, whose boxes are compared."""
        raise NotImplementedError

    def measure(self, activation_map, truth, score_map):
        """Returns "grey_levels" uint8 [B, S, S]. OpenCV runs outside of the graph, in `update`."""
        del truth, score_map
        grey = score_maps.grey_levels(score_maps.score_maps(activation_map, self._size))
        return {"grey_levels": tf.cast(grey, tf.uint8)}

    def update(self, measured, truth):
        """Adds a batch."""
        boxes = np.asarray(truth["boxes"])
        pixels, is_unseen = whole_pixels(boxes, self._size), is_out_of_view(boxes).numpy()
        # Different ratios of pixel counts stay different in float32, so float32 and float64 agree on which boxes are
        # right.
        ious = np.full([len(pixels), len(self._cuts)], np.nan, np.float32)
        for index in np.flatnonzero(np.any(pixels[..., 0] >= 0, axis=1) | is_unseen):
            ious[index] = self._best_ious(measured["grey_levels"][index], pixels[index])
        self._ious.append(ious)
        self._out_of_view += int(np.sum(is_unseen))

    def _best_ious(self, grey: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """Returns the best IoU at each cut, float64 [T], of grey levels uint8 [S, S] with boxes [M, 4]."""
        # Cuts that leave the same number of pixels off leave the same pixels off.
        count_off = np.cumsum(np.bincount(grey.ravel(), minlength=256))[self._cuts]
        _, first, same = np.unique(count_off, return_index=True, return_inverse=True)
        boxes = [self._boxes(grey > cut) for cut in self._cuts[first]]
        starts = np.cumsum([0, *map(len, boxes[:-1])])
        return np.maximum.reduceat(best_iou(np.concatenate(boxes), truth), starts)[same]

    def _boxes(self, is_on: np.ndarray) -> np.ndarray:
        """Returns the boxes of the selected contours of a mask, bool [S, S]: float64 [N, 4], x0 y0 x1 y1."""
        mode, method = self._cv2.RETR_TREE, self._cv2.CHAIN_APPROX_SIMPLE
        contours, _ = self._cv2.findContours(is_on.view(np.uint8), mode, method)
        if not contours:
            return np.zeros([1, 4])
        boxes = np.array([self._cv2.boundingRect(contour) for contour in self.select_contours(contours)], np.float64)
        boxes[:, 2:] = np.minimum(boxes[:, :2] + boxes[:, 2:], self._size - 1)
        return boxes

    def summary(self, chosen_on=None):
        """Returns the figures; `maxboxacc` is the mean over the IoU thresholds.

        For `maxboxacc_interval` each bootstrap sample chooses its own thresholds. `chosen_on` adds `thresholds_chosen`
        and `maxboxacc_at_chosen_thresholds`.
        """
        ious = self._collected()
        has_truth = ~np.isnan(ious[:, 0])
        right = self._right(ious[has_truth])
        name, = self.titles
        figures = {
            "images": len(ious),
            "images_with_boxes": int(has_truth.sum()),
            "images_out_of_view": self._out_of_view,
            "iou_thresholds": list(self.iou_thresholds),
            "thresholds": self._thresholds.tolist(),
            **dict.fromkeys(("maxboxacc", "maxboxacc_by_iou", "best_thresholds_on_evaluated_data")),
            "accuracy_by_threshold": None,
        }
        if chosen_on is not None:
            chosen = chosen_on[name]["best_thresholds_on_evaluated_data"]
            figures["thresholds_chosen"], figures["maxboxacc_at_chosen_thresholds"] = chosen, None
        if not has_truth.any():
            return {name: figures}
        accuracy = 100 * right.mean(axis=0)  # [D, T]
        keys = [str(percent) for percent in self.iou_thresholds]
        figures["maxboxacc"] = float(accuracy.max(axis=1).mean())
        figures["maxboxacc_by_iou"] = dict(zip(keys, accuracy.max(axis=1).tolist()))
        best = self._thresholds[accuracy.argmax(axis=1)]
        figures["best_thresholds_on_evaluated_data"] = dict(zip(keys, best.tolist()))
        figures["accuracy_by_threshold"] = dict(zip(keys, accuracy.tolist()))
        sums = self._bootstrap.sums(right)  # [samples, D, T]
        if sums is not None:
            in_samples = 100 * sums / len(right)
            figures["maxboxacc_interval"] = self._bootstrap.interval(in_samples.max(axis=2).mean(axis=1))
        if chosen_on is not None and chosen is not None:
            index = np.arange(len(keys)), np.searchsorted(self._thresholds, [chosen[key] for key in keys])
            figures["maxboxacc_at_chosen_thresholds"] = float(accuracy[index].mean())
            if sums is not None:
                at_chosen = in_samples[:, index[0], index[1]].mean(axis=1)
                figures["maxboxacc_at_chosen_thresholds_interval"] = self._bootstrap.interval(at_chosen)
        return {name: figures}

    def per_image(self):
        """Returns "iou" and "right" (1, 0 or NaN) at an IoU threshold of 0.5 and its best map threshold."""
        ious = self._collected()
        has_truth = ~np.isnan(ious[:, 0])
        right = self._right(ious)[:, self.iou_thresholds.index(50)]  # [N, T]
        best = int(np.argmax(right[has_truth].mean(axis=0))) if has_truth.any() else 0
        name, = self.titles
        return {name: {"iou": ious[:, best], "right": np.where(has_truth, right[:, best], np.nan)}}

    @staticmethod
    def cells(figures, threshold_split):
        """Returns the cells of a line of the table."""

        def cell(key):
            return format_figure(figures[key], figures.get(f"{key}_interval"))

        line = {"best (thresholds chosen on these images)": cell("maxboxacc")}
        if threshold_split:
            line[f"at the thresholds chosen on {threshold_split}"] = cell("maxboxacc_at_chosen_thresholds")
        for percent in figures["iou_thresholds"]:
            by_iou, best = figures["maxboxacc_by_iou"], figures["best_thresholds_on_evaluated_data"]
            text = "-" if by_iou is None else f"{by_iou[str(percent)]:.1f} ({best[str(percent)]:.3f})"
            line[f"best at overlap {percent / 100:g}"] = text
        return line

    def _right(self, ious: np.ndarray) -> np.ndarray:
        """Returns whether IoUs [N, T] reach each of the D IoU thresholds, bool [N, D, T]."""
        iou_thresholds = np.float32([percent / 100 for percent in self.iou_thresholds])
        return ious[:, np.newaxis] >= iou_thresholds[:, np.newaxis]

    def _collected(self) -> np.ndarray:
        if not sum(len(ious) for ious in self._ious):
            raise RuntimeError("No image has been measured yet; call update first.")
        return np.concatenate(self._ious)


def _opencv(metric: str):
    """Imports the optional package cv2, which only the metrics defined by OpenCV need."""
    try:
        import cv2
    except ImportError as error:
        raise MissingPackageError(
            f"The metric {metric} needs OpenCV ({error}): pip install opencv-python-headless."
        ) from error
    return cv2


def whole_pixels(boxes: np.ndarray, size: int) -> np.ndarray:
    """Converts boxes to whole pixels, rounded down.

    Args:
      boxes: float32 [B, M, 4], ymin xmin ymax xmax in fractions of the view; rows without area are padding.
      size: S, side of the view in pixels.

    Returns:
      float64 [B, M, 4], x0 y0 x1 y1. Rows of padding, and of boxes outside of the view, are -1: they overlap no pixel
      of the view.
    """
    is_visible = (boxes[..., 2:] > boxes[..., :2]) & (boxes[..., 2:] > 0) & (boxes[..., :2] < 1)
    pixels = np.floor(boxes.astype(np.float64) * size + _ROUNDING)
    return np.where(is_visible.all(axis=-1, keepdims=True), pixels[..., [1, 0, 3, 2]], -1.0)


def best_iou(boxes: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Returns the IoU of each box with its best ground truth; both edges belong to a box.

    Args:
      boxes: float64 [N, 4], x0 y0 x1 y1 in whole pixels.
      truth: float64 [M, 4]; rows that begin with -1 are padding.

    Returns:
      float64 [N]; 0 if all rows of `truth` are padding.
    """
    truth = truth[truth[:, 0] >= 0]
    boxes = boxes[:, np.newaxis]
    sides = np.minimum(boxes[..., 2:], truth[:, 2:]) - np.maximum(boxes[..., :2], truth[:, :2]) + 1.0
    shared = np.prod(np.maximum(sides, 0.0), axis=-1)
    areas = [np.prod(b[..., 2:] - b[..., :2] + 1.0, axis=-1) for b in (boxes, truth)]
    return np.max(shared / (areas[0] + areas[1] - shared), axis=-1, initial=0.0)
