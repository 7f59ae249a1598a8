"""Scores of boxes, by which the boxes of different images can be ranked."""
from __future__ import annotations

import tensorflow as tf

# The ring around a box: the box with sides longer by this factor, without the box itself. It is as large as the box.
_RING_FACTOR = 2**0.5


def contrast(activation_map: tf.Tensor, boxes: tf.Tensor) -> tf.Tensor:
    """Computes how much a map stands out inside each box: its mean in the box minus its mean in a ring around the box.

    The ring has the area of the box; a part of it that lies outside of the map does not count. Around a box without a
    ring, such as the whole map, the mean is 0. A pixel that a box covers in part counts by this part.

    Args:
      activation_map: floating point [B, h, w, 1] or [B, h, w], in 0..1.
      boxes: float32 [B, M, 4], ymin xmin ymax xmax in fractions of the map.

    Returns:
      float32 [B, M] in 0..1; 0 for boxes without area, and where the ring is not lower than the box.
    """
    # float64, because GPUs may compute products of float32 matrices with ten bits.
    maps, boxes = tf.cast(activation_map, tf.float64), tf.clip_by_value(tf.cast(boxes, tf.float64), 0.0, 1.0)
    if maps.shape.rank == 4:
        maps = tf.squeeze(maps, -1)
    centre, half = (boxes[..., :2] + boxes[..., 2:]) / 2, (boxes[..., 2:] - boxes[..., :2]) * (_RING_FACTOR / 2)
    enlarged = tf.clip_by_value(tf.concat([centre - half, centre + half], axis=-1), 0.0, 1.0)
    total, area = _integrate(maps, boxes)
    total_enlarged, area_enlarged = _integrate(maps, enlarged)
    inside = tf.math.divide_no_nan(total, area)
    around = tf.math.divide_no_nan(total_enlarged - total, area_enlarged - area)
    return tf.cast(tf.clip_by_value(inside - around, 0.0, 1.0), tf.float32)


def _integrate(maps: tf.Tensor, boxes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the integrals of maps [B, h, w] over boxes [B, M, 4], and the areas in pixels, both [B, M]."""
    rows, columns = (_covered(boxes[..., i], boxes[..., i + 2], tf.shape(maps)[i + 1]) for i in (0, 1))
    integral = tf.reduce_sum(tf.matmul(rows, maps) * columns, axis=-1)
    return integral, tf.reduce_sum(rows, axis=-1) * tf.reduce_sum(columns, axis=-1)


def _covered(low: tf.Tensor, high: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Returns how much of each of `size` pixels lies between low and high [B, M], in fractions: [B, M, size]."""
    size = tf.cast(size, low.dtype)
    first = tf.range(size)
    low, high = (edge[..., tf.newaxis] * size for edge in (low, high))
    return tf.maximum(tf.minimum(high, first + 1) - tf.maximum(low, first), 0.0)
