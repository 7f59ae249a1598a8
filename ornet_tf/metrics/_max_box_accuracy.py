"""MaxBoxAcc and MaxBoxAccV2 of wsolevaluation (Choe et al., CVPR 2020, and its journal version), to the last pixel.

1. The map is enlarged to the view and rescaled to 0..1 (`score_maps`), then to whole grey levels 0..255, rounded down.
2. For each threshold t of a grid from 0 to below 1, what is brighter than t times the brightest level, rounded down, is
   on. So there are 255 different cuts at most, however fine the grid.
3. Contours are those of OpenCV (`contours`). A box ends one pixel after its contour, or at the last pixel of the view;
   without a contour it is the first pixel.
4. The truth is moved to the view and rounded down to whole pixels.
5. An overlap counts both edges of a box: a box from 3 to 3 is one pixel wide. It is enough if it is at least as large
   as asked for.
6. One threshold is chosen for all images, for each overlap asked for: the best one on the very images that are
   measured. That is what the benchmark reports.

What differs from the original is not here but in what comes in: it reads the map of the true label, as our methods do
whose option `classes` is "label"; and its view is the whole image, resized to 224 pixels: set config.input.resize =
crop = 224. The truth comes in fractions of the view in float32; whole pixels come out of it as from the original
numbers as long as the images' sides are below 10,000 pixels.
"""
from __future__ import annotations

import numpy as np
import tensorflow as tf

from ornet_tf.errors import UserError
from ornet_tf.maps import score_maps
from ornet_tf.metrics import Settings, number, out_of_view

_MOST_OFF = 5e-5  # pixels that float32 can move an edge by; the next true fraction is further from a whole number


class MaxBoxAccuracy:
    """The base of both versions; a subclass says in `overlaps` which contours count.

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
        """
        if not 0.0005 <= interval < 1:
            raise UserError(f"interval must lie between 0.0005 and 1, got {interval!r}; the original has 0.001.")
        self._size, self._bootstrap, self._asked = settings.image_size, settings.bootstrap, iou_thresholds
        grid = np.arange(0, 1, interval)
        # Where the brightest level is 255, as in all maps that are not constant; these have nothing on at any cut.
        self._cuts, first = np.unique((grid * 255).astype(np.int32), return_index=True)
        self._thresholds = grid[first]
        self._ious = []
        self._out_of_view = 0

    def overlaps(self, levels: tf.Tensor, count: tf.Tensor, truth: tf.Tensor) -> tf.Tensor:
        """Returns the best overlap at each cut.

        Args:
          levels: int32 [B, S, S], how many of the cuts each pixel is above.
          count: scalar int32, the number T of cuts.
          truth: float64 [B, M, 4], x0 y0 x1 y1 in whole pixels; -1 in rows that nothing overlaps.

        Returns:
          float64 [B, T].
        """
        raise NotImplementedError

    def measure(self, activation_map, truth):
        """Returns "iou" float32 [B, T], NaN for images without truth, and "out_of_view" bool [B]."""
        grey = score_maps.grey_levels(score_maps.score_maps(activation_map, self._size))
        levels = tf.reshape(tf.searchsorted(self._cuts, tf.reshape(grey, [-1])), tf.shape(grey))
        pixels = whole_pixels(truth["boxes"], self._size)
        iou = self.overlaps(levels, tf.constant(len(self._cuts)), pixels)
        is_unseen = out_of_view(truth["boxes"])
        has_truth = tf.reduce_any(pixels[..., 0] >= 0, axis=1) | is_unseen
        # Two different fractions of pixel counts stay different in float32, so that an overlap is as large as asked for
        # in float32 where it is in float64.
        return {
            "iou": tf.where(has_truth[:, tf.newaxis], tf.cast(iou, tf.float32), np.nan), "out_of_view": is_unseen
        }

    def update(self, measured, truth):
        """Adds a batch."""
        self._ious.append(measured["iou"])
        self._out_of_view += int(np.sum(measured["out_of_view"]))

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
        line = {"best (thresholds chosen on these images)": number(s["maxboxacc"], s.get("maxboxacc_interval"))}
        if threshold_split:
            line[f"at the thresholds chosen on {threshold_split}"] = number(
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


def whole_pixels(boxes: tf.Tensor, size: int) -> tf.Tensor:
    """Returns boxes float32 [B, M, 4] (ymin xmin ymax xmax, fractions) as x0 y0 x1 y1, rounded down.

    Rows of padding, and of boxes that lie outside of the view, are -1: even a pixel at the edge does not touch these.
    """
    is_seen = (boxes[..., 2:] > boxes[..., :2]) & (boxes[..., 2:] > 0) & (boxes[..., :2] < 1)
    is_seen = tf.reduce_all(is_seen, axis=-1, keepdims=True)
    pixels = tf.floor(tf.cast(boxes, tf.float64) * size + _MOST_OFF)
    return tf.where(is_seen, tf.gather(pixels, [1, 0, 3, 2], axis=-1), tf.constant(-1.0, tf.float64))


def boxes_of_extents(extents: tf.Tensor, size: int) -> tf.Tensor:
    """Turns extents int32 [..., 4] of contours into boxes x0 y0 x1 y1, float64; zeros where there is no contour."""
    top, left, bottom, right = tf.unstack(extents, axis=-1)
    boxes = tf.stack([left, top, tf.minimum(right + 1, size - 1), tf.minimum(bottom + 1, size - 1)], axis=-1)
    return tf.cast(tf.where(bottom[..., tf.newaxis] < top[..., tf.newaxis], 0, boxes), tf.float64)


def best_iou(boxes: tf.Tensor, truth: tf.Tensor) -> tf.Tensor:
    """Returns the overlap with the best truth, both edges included.

    Args:
      boxes: float64 [..., 4], x0 y0 x1 y1 in whole pixels.
      truth: float64 [..., M, 4]; rows that begin with -1 are padding.

    Returns:
      float64 [...]; 0 where all truth is padding.
    """
    boxes = boxes[..., tf.newaxis, :]
    sides = tf.minimum(boxes[..., 2:], truth[..., 2:]) - tf.maximum(boxes[..., :2], truth[..., :2]) + 1.0
    shared = tf.reduce_prod(tf.maximum(sides, 0.0), axis=-1)
    areas = [tf.reduce_prod(b[..., 2:] - b[..., :2] + 1.0, axis=-1) for b in (boxes, truth)]
    overlap = tf.math.divide_no_nan(shared, areas[0] + areas[1] - shared)
    return tf.reduce_max(tf.where(truth[..., 0] < 0, tf.constant(0.0, tf.float64), overlap), axis=-1)
