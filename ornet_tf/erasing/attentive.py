"""Attentive erasing (section 3.2.2): drops pixels around the map's peak, so that the map covers the rest too."""
from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from ornet_tf import randomness
from ornet_tf.erasing import check_map, check_number, check_range, rectangle, scale_between
from ornet_tf.errors import UserError


def erase(
    activation_map: tf.Tensor,
    keys: tf.Tensor,
    *,
    probability: float = 1.0,
    side: Sequence[float] = (0.4, 1.2),
    candidate_threshold: float = 0.5,
    candidate_depth: Sequence[float] | None = None,
    drop_probability: float = 0.5,
    adaptive: bool = False,
) -> tf.Tensor:
    """Returns the maps with some of their strongest pixels set to 0; for training only.

    Each map's peak (of equal ones the first in raster order) is the centre of a random rectangle. The candidates are
    the pixels inside it that are above a threshold. Each candidate is dropped independently. All random choices for an
    example are a function of its key. The choice of pixels has no gradient: kept pixels pass their gradient unchanged,
    dropped ones get 0.

    The paper gives a value for `drop_probability` only. The values of the threshold and of the sides are our choice: at
    0.5, the threshold of boxes, what may be dropped is what counts as object.

    The authors' released code erases an example with probability 0.5. Its candidates are those of `candidate_depth` =
    (0, 0.5), with one u for the whole batch. It draws both half-sides from 4 pixels up to half the extent of the
    candidates' bounding box. If that range is empty, it silently erases nothing. It uses the map 0.6 m + 0.2 from there
    on, which is also the drop probability. Here `side` is a share of the map: it means the same at every resolution,
    and its range is never empty. By default the rectangle reaches 0.2 to 0.6 of the map away from the peak, which
    covers a part of an object up to most of it.

    Args:
      activation_map: floating point [B, h, w, 1] in 0..1.
      keys: int64 [B, 2], one for each example; see `randomness.key`.
      probability: probability that an example is erased, in 0..1.
      side: (min, max) of the height and of the width of the rectangle, drawn independently and uniformly, as shares
        of the map's height and width, in 0..2. A pixel belongs to the rectangle if its centre does. Parts beyond the
        map are cut off, so only 2 covers the whole map from any peak.
      candidate_threshold: pixels with a higher value are candidates, in 0..1. A map without such pixels stays whole.
      candidate_depth: (min, max) of u, drawn uniformly per example, in 0..1. The candidates are then the pixels of at
        least peak - u (peak - minimum) instead: with 0 the peak and its equals, with 1 all pixels. None for the
        threshold.
      drop_probability: probability that a candidate is dropped, in 0..1.
      adaptive: whether each candidate's own map value is its drop probability (section 2), instead of
        `drop_probability`.

    Returns:
      The erased map, of the shape and dtype of `activation_map`.

    Raises:
      UserError: if an option is out of range.
      ValueError: if the map has another shape.
    """
    check_number("probability", probability)
    check_range("side", side, largest=2.0)
    check_number("candidate_threshold", candidate_threshold)
    if candidate_depth is not None:
        check_range("candidate_depth", candidate_depth)
    check_number("drop_probability", drop_probability)
    if not isinstance(adaptive, bool):
        raise UserError(f"Erasing option adaptive must be True or False, got {adaptive!r}.")
    activation_map = check_map(activation_map)

    values = tf.stop_gradient(tf.cast(activation_map, tf.float32))  # [B, h, w, 1]
    draws = randomness.uniform(keys, [4], "erasing/example")  # [B, 4]
    for_height, for_width, for_depth, for_erasing = tf.unstack(draws[..., None, None, None], axis=1)  # [B, 1, 1, 1]
    height, width = scale_between(side, for_height), scale_between(side, for_width)
    dropped = rectangle(values, *_first_peak(values), height, width)
    if candidate_depth is None:
        dropped &= values > candidate_threshold
    else:
        dropped &= _deep_pixels(values, scale_between(candidate_depth, for_depth))
    dropped &= for_erasing < probability
    dropped &= randomness.uniform_like(values, keys, "erasing/pixels") < (values if adaptive else drop_probability)
    return tf.where(dropped, tf.zeros_like(activation_map), activation_map)


def _first_peak(values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns row and column of each map's first peak, int32 [B, 1, 1, 1] each."""
    rows, columns = tf.shape(values)[1], tf.shape(values)[2]
    flat = tf.reshape(values, [-1, rows * columns])
    # tf.argmax does not promise which of equal values it returns.
    is_peak = tf.equal(flat, tf.reduce_max(flat, axis=1, keepdims=True))
    peak = tf.reduce_min(tf.where(is_peak, tf.range(rows * columns), rows * columns), axis=1)[:, None, None, None]
    return peak // columns, peak % columns


def _deep_pixels(values: tf.Tensor, depth: tf.Tensor) -> tf.Tensor:
    """Returns the pixels of at least peak - depth (peak - minimum): bool [B, h, w, 1], for depth [B, 1, 1, 1]."""
    peak = tf.reduce_max(values, axis=[1, 2, 3], keepdims=True)
    lowest = tf.reduce_min(values, axis=[1, 2, 3], keepdims=True)
    # In this form depth 1 gives exactly the minimum. The outer minimum prevents rounding from excluding the peak.
    return values >= tf.minimum((1.0 - depth) * peak + depth * lowest, peak)
