"""Scores of boxes, from activation maps alone: several boxes are ranked by them, and doubtful boxes are dropped."""
from __future__ import annotations

import tensorflow as tf

from ornet_tf.maps.boxes import find_largest_boxes_by_threshold, iou

_THRESHOLDS = tuple(i / 10 for i in range(2, 9))  # 0.2, 0.3 ... 0.8
_ROUNDING = 1e-4  # in pixels: edges of boxes are float32, so a box can cover this much too much of the next pixel


def stability(activation_map: tf.Tensor, boxes: tf.Tensor, *, max_components: int) -> tf.Tensor:
    """Returns how little boxes depend on the threshold, times the mean of the map in the box.

    The first factor is the mean over the thresholds 0.2, 0.3 ... 0.8 of the highest IoU of the box with the boxes of
    the map's largest components; 0 at a threshold that no pixel exceeds. The second factor is the mean of the map over
    the pixels above 0.5 in the box, 0 without one. A pixel that the box covers in part counts by this part. NaN is 0.

    A map that is sure of an object is high in it and falls steeply at its border. In doubt, components grow, fall apart
    or vanish as the threshold rises. Neither factor is in the paper. On held-out images, their product told right boxes
    from wrong ones better than the contrast of a box with its surroundings; `box_score_auroc` of the metric `corloc`
    measures it.

    Args:
      activation_map: floating point [B, h, w, 1] or [B, h, w], in 0..1. Use a method's "score_map" if it has one: the
        values of a refined or nearly binary map say nothing about doubt.
      boxes: float32 [B, M, 4], ymin xmin ymax xmax in fractions of the map.
      max_components: the number of largest components at each threshold.

    Returns:
      float32 [B, M] in 0..1; 0 for boxes without area, and for all boxes of a map without a pixel above 0.5.
    """
    maps, boxes = tf.cast(activation_map, tf.float32), tf.cast(boxes, tf.float32)
    if maps.shape.rank == 4:
        maps = tf.squeeze(maps, -1)
    maps = tf.clip_by_value(tf.where(tf.math.is_nan(maps), 0.0, maps), 0.0, 1.0)
    thresholds = tf.constant(_THRESHOLDS)
    found, _ = find_largest_boxes_by_threshold(maps, thresholds, max_boxes=max_components)
    best = tf.reduce_max(iou(boxes[:, tf.newaxis, :, tf.newaxis], found[:, :, tf.newaxis]), axis=-1)  # [B, T, M]
    has_component = tf.reduce_max(maps, axis=[1, 2])[:, tf.newaxis] > thresholds
    best = tf.where(has_component[..., tf.newaxis], best, 0.0)
    return tf.reduce_mean(best, axis=1) * _mean_of_on_pixels(maps, boxes)


def _mean_of_on_pixels(maps: tf.Tensor, boxes: tf.Tensor) -> tf.Tensor:
    """Returns the means of maps [B, h, w] over the pixels above 0.5 in boxes [B, M, 4]: [B, M]; 0 without one."""
    # float64, because GPUs may compute products of float32 matrices with ten bits.
    boxes, is_on = tf.cast(boxes, tf.float64), maps > 0.5
    rows, columns = (_covered(boxes[..., i], boxes[..., i + 2], tf.shape(maps)[i + 1]) for i in (0, 1))

    def integrate(values):
        return tf.reduce_sum(tf.matmul(rows, tf.cast(values, tf.float64)) * columns, axis=-1)

    area = integrate(is_on)
    mean = tf.math.divide_no_nan(integrate(tf.where(is_on, maps, 0.0)), area)
    return tf.cast(tf.where(area > _ROUNDING, mean, tf.zeros_like(mean)), tf.float32)


def _covered(low: tf.Tensor, high: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Returns how much of each of `size` pixels lies between low and high [B, M], in fractions: [B, M, size]."""
    size = tf.cast(size, low.dtype)
    first = tf.range(size)
    low, high = (edge[..., tf.newaxis] * size for edge in (low, high))
    return tf.maximum(tf.minimum(high, first + 1) - tf.maximum(low, first), 0.0)
