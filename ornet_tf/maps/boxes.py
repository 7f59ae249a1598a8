"""From activation maps to boxes, and the overlap of boxes: pure graph functions, the same in evaluation and serving.

Boxes are [ymin, xmin, ymax, xmax], normalised to the frame of the map, with half-open edges: a map of height h whose
last row that is on is number i gives ymax = (i + 1) / h.
"""
from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from ornet_tf.maps import addons_components, components

RULES = ("tight", "largest")


def from_maps(
    activation_map: tf.Tensor,
    thresholds: tf.Tensor,
    *,
    rule: str = "tight",
    backend: str = "native",
    far_edge: bool = True,
) -> tf.Tensor:
    """Draws a box around what is on in each map at each threshold.

    A pixel is on if its value is greater than the threshold; NaN is off. A map without such a pixel gives the whole
    frame, as in the authors' code. "tight" is the box of all pixels that are on, which is the authors' rule; "largest"
    that of the largest 8-connected component, of equally large ones the one with the first pixel in raster order; its
    graph has dynamic shapes inside, so it can't be compiled by XLA.

    Args:
      activation_map: float32 [B, h, w, 1] or [B, h, w].
      thresholds: float32 [T], in any order.
      rule: one of `RULES`.
      backend: what finds the components, one of `addons_components.BACKENDS`; the boxes are the same.
      far_edge: whether boxes end at the far edge of their last pixels. In the authors' code they end at the near one,
        so a box of one pixel has no area.

    Returns:
      float32 [B, T, 4].

    Raises:
      UserError: for a backend that is not there.
      ValueError: for an unknown rule, or if the shapes are not those above.
    """
    if rule not in RULES:
        raise ValueError(f"rule must be one of {', '.join(RULES)}, got {rule!r}.")
    find = addons_components if addons_components.use_addons(backend) else components
    maps = _plain(activation_map)
    thresholds = tf.convert_to_tensor(thresholds, tf.float32)
    if thresholds.shape.rank != 1:
        raise ValueError(f"thresholds must have the shape [T], got {thresholds.shape}; give a list, even for one.")
    if rule == "tight":
        extents = _tight_extents(maps, thresholds)
    else:
        extents = _largest_extents(maps, thresholds, find.largest_extents)
    is_empty = extents[..., 2:3] < extents[..., :1]
    boxes = tf.where(is_empty, [0.0, 0.0, 1.0, 1.0], _edges(extents, maps, far_edge))
    return tf.ensure_shape(boxes, [maps.shape[0], thresholds.shape[0], 4])


def several_from_maps(activation_map: tf.Tensor, threshold: float, *, most: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Draws a box around each of the largest 8-connected components of what is on in each map, the largest first.

    The first one is the box that `from_maps` draws with the rule "largest".

    Args:
      activation_map: float32 [B, h, w, 1] or [B, h, w].
      threshold: on the map.
      most: M, how many boxes of a map are drawn.

    Returns:
      float32 [B, M, 4], zeros where there is no box, and int64 [B], the number of boxes of each map, 1..M: a map on
      which nothing is on gives the whole frame.
    """
    maps = _plain(activation_map)
    levels = tf.cast(maps > threshold, tf.int32)
    extents = components.ranked_extents(levels, tf.constant(1), most=most)[:, 0]
    is_there = extents[..., 2] >= extents[..., 0]
    boxes = tf.where(is_there[..., tf.newaxis], _edges(extents, maps), 0.0)
    frame = tf.constant([[0.0, 0.0, 1.0, 1.0]] + [[0.0] * 4] * (most - 1))
    boxes = tf.where(is_there[:, :1, tf.newaxis], boxes, frame)
    count = tf.maximum(tf.reduce_sum(tf.cast(is_there, tf.int64), axis=1), 1)
    return tf.ensure_shape(boxes, [maps.shape[0], most, 4]), count


def _plain(activation_map) -> tf.Tensor:
    maps = tf.convert_to_tensor(activation_map, tf.float32)
    if maps.shape.rank == 4 and maps.shape[-1] == 1:
        maps = tf.squeeze(maps, -1)
    if maps.shape.rank != 3:
        raise ValueError(f"activation_map must have the shape [B, h, w, 1] or [B, h, w], got {maps.shape}.")
    return tf.where(tf.math.is_nan(maps), tf.float32.min, maps)


def _edges(extents: tf.Tensor, maps: tf.Tensor, far_edge: bool = True) -> tf.Tensor:
    """Turns first row, first column, last row and last column [..., 4] into edges in fractions of the map."""
    height, width = tf.unstack(tf.cast(tf.shape(maps)[1:], tf.float32))
    top, left, bottom, right = tf.unstack(extents, axis=-1)
    sides = tf.stack([top, left, bottom + int(far_edge), right + int(far_edge)], axis=-1)
    return tf.cast(sides, tf.float32) / [height, width, height, width]


def iou(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Computes the intersection over union of boxes with half-open edges.

    Args:
      a: float [..., 4], in one frame with `b`.
      b: the same dtype, [..., 4]; leading dimensions broadcast against those of `a`.

    Returns:
      float [...] of the same dtype, 0..1; 0 where a box has no area.
    """
    a = tf.convert_to_tensor(a)
    b = tf.convert_to_tensor(b, a.dtype)
    sides = tf.maximum(tf.minimum(a[..., 2:], b[..., 2:]) - tf.maximum(a[..., :2], b[..., :2]), 0)
    intersection = tf.reduce_prod(sides, axis=-1)
    union = _area(a) + _area(b) - intersection
    return tf.math.divide_no_nan(intersection, union)


def _area(boxes: tf.Tensor) -> tf.Tensor:
    return tf.reduce_prod(tf.maximum(boxes[..., 2:] - boxes[..., :2], 0), axis=-1)


def _tight_extents(maps: tf.Tensor, thresholds: tf.Tensor) -> tf.Tensor:
    """Returns first and last row and column of the pixels that are on, int32 [B, T, 4]; see `largest_extents`."""
    # A row is on at a threshold if its maximum is: no map is compared with a threshold pixel by pixel.
    row_first, row_last = _range(tf.reduce_max(maps, axis=2), thresholds)
    column_first, column_last = _range(tf.reduce_max(maps, axis=1), thresholds)
    return tf.stack([row_first, column_first, row_last, column_last], axis=-1)


def _range(maxima: tf.Tensor, thresholds: tf.Tensor):
    """Returns the first and the last index of maxima [B, n] above each threshold, int32 [B, T]; n and -1 if none is."""
    on = maxima[:, tf.newaxis] > thresholds[:, tf.newaxis]  # [B, T, n]
    index = tf.range(tf.shape(maxima)[1])
    first = tf.reduce_min(tf.where(on, index, tf.size(index)), axis=-1)
    return first, tf.reduce_max(tf.where(on, index, -1), axis=-1)


def _largest_extents(maps: tf.Tensor, thresholds: tf.Tensor, find: Callable[..., tf.Tensor]) -> tf.Tensor:
    ascending = tf.sort(thresholds)
    levels = tf.reshape(tf.searchsorted(ascending, tf.reshape(maps, [-1])), tf.shape(maps))
    extents = find(levels, tf.size(ascending))
    return tf.gather(extents, tf.searchsorted(ascending, thresholds), axis=1)
