"""Boxes around the active regions of maps, and the IoU of boxes; evaluation and serving use the same graph functions.

Boxes are [ymin, xmin, ymax, xmax] in fractions of the map, with half-open edges: in a map of height h whose last row
with an on pixel is row i, ymax is (i + 1) / h.
"""
from __future__ import annotations

import functools
from collections.abc import Callable

import tensorflow as tf

from ornet_tf.maps import addons_components, components, parts

RULES = ("tight", "largest")


def find_boxes(
    activation_map: tf.Tensor,
    thresholds: tf.Tensor,
    *,
    rule: str = "tight",
    backend: str = "native",
    far_edge: bool = True,
) -> tf.Tensor:
    """Returns the box of each map at each threshold.

    A pixel is on if its value is greater than the threshold; NaN is off. If no pixel is on, the box is the whole map,
    as in the authors' code. The rule "tight", the authors', takes the box of all on pixels. "largest" takes the box of
    the largest 8-connected component; of equally large ones the one with the first pixel in raster order. XLA can't
    compile "largest", as its graph needs dynamic shapes.

    Args:
      activation_map: float32 [B, h, w, 1] or [B, h, w].
      thresholds: float32 [T], in any order.
      rule: one of `RULES`.
      backend: the implementation of components, one of `addons_components.BACKENDS`; all give the same boxes.
      far_edge: whether boxes end at the far edge of their last pixels. In the authors' code they end at the near edge,
        so the box of a single pixel has no area.

    Returns:
      float32 [B, T, 4].

    Raises:
      UserError: for an unknown backend, or one that is not installed.
      ValueError: for an unknown rule or a wrong shape.
    """
    if rule not in RULES:
        raise ValueError(f"rule must be one of {', '.join(RULES)}, got {rule!r}.")
    module = addons_components if addons_components.use_addons(backend) else components
    maps = _prepare_maps(activation_map)
    thresholds = tf.convert_to_tensor(thresholds, tf.float32)
    if thresholds.shape.rank != 1:
        raise ValueError(f"thresholds must have the shape [T], got {thresholds.shape}; pass a list.")
    if rule == "tight":
        extents = _tight_extents(maps, thresholds)
    else:
        extents = _largest_extents(maps, thresholds, module.largest_extents)
    is_empty = extents[..., 2:3] < extents[..., :1]
    boxes = tf.where(is_empty, [0.0, 0.0, 1.0, 1.0], _extents_to_boxes(extents, maps, far_edge))
    return tf.ensure_shape(boxes, [maps.shape[0], thresholds.shape[0], 4])


def find_largest_boxes(
    activation_map: tf.Tensor, threshold: float, *, max_boxes: int, split_map: tf.Tensor | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the boxes of the largest 8-connected components of on pixels in each map, the largest first.

    Without `split_map`, the first box is the one that `find_boxes` returns with the rule "largest".

    Args:
      activation_map: float32 [B, h, w, 1] or [B, h, w].
      threshold: pixels above it are on.
      max_boxes: M, the largest number of boxes of a map.
      split_map: floating point [B, h', w', 1] or [B, h', w'], at least 0. With it the boxes are those of the largest
        parts of components instead, whose centres are high in it; see `parts.label_parts`. It is resized bilinearly.
        It may be the activation map itself; for a nearly binary one, a method's "score_map" shows where objects touch.

    Returns:
      float32 [B, M, 4], zeros in rows without a box, and int64 [B], the number of boxes of each map, 1..M. If no pixel
      is on, the only box is the whole map.
    """
    found, count = find_largest_boxes_by_threshold(
        activation_map, [threshold], max_boxes=max_boxes, split_map=split_map
    )
    return found[:, 0], count[:, 0]


def find_largest_boxes_by_threshold(
    activation_map: tf.Tensor, thresholds: tf.Tensor, *, max_boxes: int, split_map: tf.Tensor | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns `find_largest_boxes` at several thresholds.

    Args:
      activation_map: float32 [B, h, w, 1] or [B, h, w].
      thresholds: float32 [T], in any order.
      max_boxes: M, the largest number of boxes of a map.
      split_map: see `find_largest_boxes`.

    Returns:
      float32 [B, T, M, 4] and int64 [B, T].
    """
    maps = _prepare_maps(activation_map)
    thresholds = tf.convert_to_tensor(thresholds, tf.float32)
    if split_map is not None:
        extents = _part_extents(maps, split_map, thresholds, max_boxes)
    else:
        find = functools.partial(components.ranked_extents, max_components=max_boxes)
        extents = _largest_extents(maps, thresholds, find)
    has_component = extents[..., 2] >= extents[..., 0]
    boxes = tf.where(has_component[..., tf.newaxis], _extents_to_boxes(extents, maps), 0.0)
    whole_map = tf.constant([[0.0, 0.0, 1.0, 1.0]] + [[0.0] * 4] * (max_boxes - 1))
    boxes = tf.where(has_component[..., :1, tf.newaxis], boxes, whole_map)
    count = tf.maximum(tf.reduce_sum(tf.cast(has_component, tf.int64), axis=-1), 1)
    return tf.ensure_shape(boxes, [maps.shape[0], thresholds.shape[0], max_boxes, 4]), count


def _prepare_maps(activation_map, name: str = "activation_map") -> tf.Tensor:
    """Returns maps as float32 [B, h, w], with NaN replaced by the lowest number."""
    maps = tf.cast(activation_map, tf.float32)
    if maps.shape.rank == 4 and maps.shape[-1] == 1:
        maps = tf.squeeze(maps, -1)
    if maps.shape.rank != 3:
        raise ValueError(f"{name} must have the shape [B, h, w, 1] or [B, h, w], got {maps.shape}.")
    return tf.where(tf.math.is_nan(maps), tf.float32.min, maps)


def _extents_to_boxes(extents: tf.Tensor, maps: tf.Tensor, far_edge: bool = True) -> tf.Tensor:
    """Converts first row, first column, last row and last column [..., 4] to boxes in fractions of the map."""
    height, width = tf.unstack(tf.cast(tf.shape(maps)[1:], tf.float32))
    top, left, bottom, right = tf.unstack(extents, axis=-1)
    sides = tf.stack([top, left, bottom + int(far_edge), right + int(far_edge)], axis=-1)
    return tf.cast(sides, tf.float32) / [height, width, height, width]


def iou(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Computes the intersection over union of boxes with half-open edges.

    Args:
      a: float [..., 4].
      b: [..., 4], of the same dtype and in the same coordinates; leading dimensions broadcast against those of `a`.

    Returns:
      float [...] of the same dtype, 0..1; 0 if a box has no area.
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
    """Returns the extents of all on pixels, int32 [B, T, 4], in the format of `components.largest_extents`."""
    # A row has an on pixel if its maximum is on. This avoids comparing every pixel with every threshold.
    row_first, row_last = _first_and_last_above(tf.reduce_max(maps, axis=2), thresholds)
    column_first, column_last = _first_and_last_above(tf.reduce_max(maps, axis=1), thresholds)
    return tf.stack([row_first, column_first, row_last, column_last], axis=-1)


def _first_and_last_above(maxima: tf.Tensor, thresholds: tf.Tensor):
    """Returns the first and last index of maxima [B, n] above each threshold, int32 [B, T]; n and -1 if none is."""
    on = maxima[:, tf.newaxis] > thresholds[:, tf.newaxis]  # [B, T, n]
    index = tf.range(tf.shape(maxima)[1])
    first = tf.reduce_min(tf.where(on, index, tf.size(index)), axis=-1)
    return first, tf.reduce_max(tf.where(on, index, -1), axis=-1)


def _largest_extents(maps: tf.Tensor, thresholds: tf.Tensor, find: Callable[..., tf.Tensor]) -> tf.Tensor:
    """Returns the extents that `find` computes from levels, int32 [B, T, ...], for thresholds in any order."""
    ascending = tf.sort(thresholds)
    levels = tf.reshape(tf.searchsorted(ascending, tf.reshape(maps, [-1])), tf.shape(maps))
    extents = find(levels, tf.size(ascending))
    return tf.gather(extents, tf.searchsorted(ascending, thresholds), axis=1)


def _part_extents(maps: tf.Tensor, split_map: tf.Tensor, thresholds: tf.Tensor, max_boxes: int) -> tf.Tensor:
    """Returns the extents of the largest parts, int32 [B, T, max_boxes, 4]."""
    batch, height, width = tf.unstack(tf.shape(maps))
    split_map = tf.maximum(_prepare_maps(split_map, "split_map"), 0.0)
    split_map = tf.image.resize(split_map[..., tf.newaxis], [height, width])[..., 0]
    count = tf.size(thresholds)
    is_on = tf.reshape(maps[:, tf.newaxis] > thresholds[:, tf.newaxis, tf.newaxis], [-1, height, width])
    labels = parts.label_parts(tf.repeat(split_map, count, axis=0), is_on)
    return tf.reshape(parts.ranked_extents(labels, max_parts=max_boxes), [batch, count, max_boxes, 4])
