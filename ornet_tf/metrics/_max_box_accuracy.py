"""MaxBoxAcc and MaxBoxAccV2 of wsolevaluation (Choe et al., CVPR 2020, and its journal version), to the last pixel.

1. The map is enlarged to the view, rescaled to 0..1 (`score_maps`) and rounded down to grey levels 0..255.
2. The thresholds t are a grid from 0 to below 1. Pixels are on if they are brighter than t times the brightest level,
   rounded down. A grid therefore has at most 255 different cuts.
3. OpenCV finds the contours. A box ends one pixel after its contour, or at the last pixel of the view. A cut without a
   contour has the first pixel as its box.
4. The ground truth is moved to the view and rounded down to whole pixels.
5. An overlap counts both edges of a box: a box from 3 to 3 is one pixel wide. A box is right if its overlap is at least
   as large as asked for.
6. For each overlap asked for, one threshold is chosen for all images: the best one on the evaluated images. That is
   what the benchmark reports.

Two differences to the original come from the input. The original reads the map of the true label, as our methods do
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

_MOST_OFF = 5e-5  # pixels that float32 can move an edge by; the next true fraction is further from a whole number


class MaxBoxAccuracy:
    """The base of both versions. A subclass says in `compared` which contours count.

    A kilobyte is kept for each image: its overlap at each cut.
    """

    titles: dict = {}
    needs_masks = False

    def __init__(self, settings: Settings, iou_thresholds: tuple, interval: float):
        """Takes `settings.image_size` and `bootstrap`.

        Args:
          settings: of the evaluation.
          iou_thresholds: percent, the overlaps asked for.
          interval: between two thresholds of the grid.

        Raises:
          UserError: if `interval` is not from 0.0005 to below 1.
          MissingPackageError: if OpenCV is not installed.
        """
        if not 0.0005 <= interval < 1:
            raise UserError(f"interval must lie between 0.0005 and 1, got {interval!r}; the original has 0.001.")
        self._cv2 = _opencv(next(iter(self.titles)))
        self._size, self._bootstrap, self._asked = settings.image_size, settings.bootstrap, iou_thresholds
        grid = np.arange(0, 1, interval)
        # All maps but constant ones have 255 as their brightest level. Constant ones have no pixel on at any cut.
        self._cuts, first = np.unique((grid * 255).astype(np.int32), return_index=True)
        self._thresholds = grid[first]
        self._ious = []
        self._out_of_view = 0

    def compared(self, contours: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        """Returns those of OpenCV's contours whose boxes count; `contours` has at least one."""
        raise NotImplementedError

    def measure(self, activation_map, truth):
        """Returns "grey_levels" uint8 [B, S, S]. OpenCV runs outside of the graph, in `update`."""
        del truth
        grey = score_maps.grey_levels(score_maps.score_maps(activation_map, self._size))
        return {"grey_levels": tf.cast(grey, tf.uint8)}

    def update(self, measured, truth):
        """Adds a batch."""
        boxes = np.asarray(truth["boxes"])
        pixels, is_unseen = whole_pixels(boxes, self._size), is_out_of_view(boxes).numpy()
        # Two different fractions of pixel counts stay different in float32. So an overlap is as large as asked for in
        # float32 exactly where it is in float64.
        ious = np.full([len(pixels), len(self._cuts)], np.nan, np.float32)
        for index in np.flatnonzero(np.any(pixels[..., 0] >= 0, axis=1) | is_unseen):
            ious[index] = self._overlaps(measured["grey_levels"][index], pixels[index])
        self._ious.append(ious)
        self._out_of_view += int(np.sum(is_unseen))

    def _overlaps(self, grey: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """Returns the best overlap at each cut, float64 [T], of grey levels uint8 [S, S] with boxes [M, 4]."""
        # Cuts that leave the same number of pixels off leave the same pixels off.
        count_off = np.cumsum(np.bincount(grey.ravel(), minlength=256))[self._cuts]
        _, first, same = np.unique(count_off, return_index=True, return_inverse=True)
        of_cut = [self._boxes(grey > cut) for cut in self._cuts[first]]
        starts = np.cumsum([0, *map(len, of_cut[:-1])])
        return np.maximum.reduceat(best_iou(np.concatenate(of_cut), truth), starts)[same]

    def _boxes(self, is_on: np.ndarray) -> np.ndarray:
        """Returns the boxes that count, float64 [N, 4], x0 y0 x1 y1, of the pixels that are on, bool [S, S]."""
        mode, method = self._cv2.RETR_TREE, self._cv2.CHAIN_APPROX_SIMPLE
        contours, _ = self._cv2.findContours(is_on.view(np.uint8), mode, method)
        if not contours:
            return np.zeros([1, 4])
        boxes = np.array([self._cv2.boundingRect(contour) for contour in self.compared(contours)], np.float64)
        boxes[:, 2:] = np.minimum(boxes[:, :2] + boxes[:, 2:], self._size - 1)
        return boxes

    def summary(self, chosen_on=None):
        """Returns the figures; `maxboxacc` is the mean over the overlaps asked for.

        `maxboxacc_interval` chooses the thresholds anew in each sample. With `chosen_on`: `thresholds_chosen` and
        `maxboxacc_at_chosen_thresholds`, which are not chosen on these images.
        """
        ious = self._collected()
        known = ~np.isnan(ious[:, 0])
        right = self._right(ious[known])
        name, = self.titles
        figures = {
            "images": len(ious),
            "images_with_boxes": int(known.sum()),
            "images_out_of_view": self._out_of_view,
            "iou_thresholds": list(self._asked),
            "thresholds": self._thresholds.tolist(),
            **dict.fromkeys(("maxboxacc", "maxboxacc_by_iou", "best_thresholds_on_evaluated_data")),
            "accuracy_by_threshold": None,
        }
        if chosen_on is not None:
            chosen = chosen_on[name]["best_thresholds_on_evaluated_data"]
            figures["thresholds_chosen"], figures["maxboxacc_at_chosen_thresholds"] = chosen, None
        if not known.any():
            return {name: figures}
        accuracy = 100 * right.mean(axis=0)  # [D, T]
        asked = [str(percent) for percent in self._asked]
        figures["maxboxacc"] = float(accuracy.max(axis=1).mean())
        figures["maxboxacc_by_iou"] = dict(zip(asked, accuracy.max(axis=1).tolist()))
        best = self._thresholds[accuracy.argmax(axis=1)]
        figures["best_thresholds_on_evaluated_data"] = dict(zip(asked, best.tolist()))
        figures["accuracy_by_threshold"] = dict(zip(asked, accuracy.tolist()))
        sums = self._bootstrap.sums(right)  # [samples, D, T]
        if sums is not None:
            in_samples = 100 * sums / len(right)
            figures["maxboxacc_interval"] = self._bootstrap.interval(in_samples.max(axis=2).mean(axis=1))
        if chosen_on is not None and chosen is not None:
            place = np.arange(len(asked)), np.searchsorted(self._thresholds, [chosen[key] for key in asked])
            figures["maxboxacc_at_chosen_thresholds"] = float(accuracy[place].mean())
            if sums is not None:
                at_chosen = in_samples[:, place[0], place[1]].mean(axis=1)
                figures["maxboxacc_at_chosen_thresholds_interval"] = self._bootstrap.interval(at_chosen)
        return {name: figures}

    def per_image(self):
        """Returns "iou" and "right" (1, 0 or NaN) for an overlap of a half, at the threshold that is best for it."""
        ious = self._collected()
        known = ~np.isnan(ious[:, 0])
        right = self._right(ious)[:, self._asked.index(50)]  # [N, T]
        best = int(np.argmax(right[known].mean(axis=0))) if known.any() else 0
        name, = self.titles
        return {name: {"iou": ious[:, best], "right": np.where(known, right[:, best], np.nan)}}

    @staticmethod
    def cells(s, threshold_split):
        """Returns the cells of a line of the table."""
        line = {"best (thresholds chosen on these images)": format_figure(s["maxboxacc"], s.get("maxboxacc_interval"))}
        if threshold_split:
            line[f"at the thresholds chosen on {threshold_split}"] = format_figure(
                s["maxboxacc_at_chosen_thresholds"], s.get("maxboxacc_at_chosen_thresholds_interval")
            )
        for percent in s["iou_thresholds"]:
            by_iou, best = s["maxboxacc_by_iou"], s["best_thresholds_on_evaluated_data"]
            cell = "-" if by_iou is None else f"{by_iou[str(percent)]:.1f} ({best[str(percent)]:.3f})"
            line[f"best at overlap {percent / 100:g}"] = cell
        return line

    def _right(self, ious: np.ndarray) -> np.ndarray:
        """Returns whether overlaps [N, T] are as large as asked for, bool [N, D, T]."""
        asked = np.float32([percent / 100 for percent in self._asked])
        return ious[:, np.newaxis] >= asked[:, np.newaxis]

    def _collected(self) -> np.ndarray:
        if not sum(len(ious) for ious in self._ious):
            raise RuntimeError("No image has been measured yet; call update first.")
        return np.concatenate(self._ious)


def _opencv(metric: str):
    """Returns the module cv2. It is optional, and only the metrics that are defined by OpenCV need it."""
    try:
        import cv2
    except ImportError as error:
        raise MissingPackageError(
            f"The metric {metric} needs OpenCV ({error}): pip install opencv-python-headless."
        ) from error
    return cv2


def whole_pixels(boxes: np.ndarray, size: int) -> np.ndarray:
    """Returns the pixels of boxes, rounded down.

    Args:
      boxes: float32 [B, M, 4], ymin xmin ymax xmax in fractions of the view; rows without area are padding.
      size: S, side of the view in pixels.

    Returns:
      float64 [B, M, 4], x0 y0 x1 y1. Rows of padding, and of boxes outside of the view, are -1: they do not touch even
      a pixel at the edge.
    """
    is_seen = (boxes[..., 2:] > boxes[..., :2]) & (boxes[..., 2:] > 0) & (boxes[..., :2] < 1)
    pixels = np.floor(boxes.astype(np.float64) * size + _MOST_OFF)
    return np.where(is_seen.all(axis=-1, keepdims=True), pixels[..., [1, 0, 3, 2]], -1.0)


def best_iou(boxes: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Returns the overlap of each box with the best ground truth, both edges included.

    Args:
      boxes: float64 [N, 4], x0 y0 x1 y1 in whole pixels.
      truth: float64 [M, 4]; rows that begin with -1 are padding.

    Returns:
      float64 [N]; 0 where all truth is padding.
    """
    truth = truth[truth[:, 0] >= 0]
    boxes = boxes[:, np.newaxis]
    sides = np.minimum(boxes[..., 2:], truth[:, 2:]) - np.maximum(boxes[..., :2], truth[:, :2]) + 1.0
    shared = np.prod(np.maximum(sides, 0.0), axis=-1)
    areas = [np.prod(b[..., 2:] - b[..., :2] + 1.0, axis=-1) for b in (boxes, truth)]
    return np.max(shared / (areas[0] + areas[1] - shared), axis=-1, initial=0.0)
