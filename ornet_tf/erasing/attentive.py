"""Attentive erasing (section 3.2.2): drops pixels around the map's peak, so that the rest of the object has to show."""
from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from ornet_tf import randomness
from ornet_tf.erasing import check, check_map, rectangle, scale_between
from ornet_tf.errors import UserError


def erase(
    activation_map: tf.Tensor,
    keys: tf.Tensor,
    *,
    probability: float = 1.0,
    side: Sequence[float] = (0.4, 1.2),
    candidate_threshold: Sequence[float] = (0.0, 0.5),
    drop_probability: float = 0.5,
    adaptive: bool = False,
) -> tf.Tensor:
    """Returns the maps with some of their strongest pixels set to 0; for training only.

    Each map's peak (of equal ones the first, row by row) is the centre of a random rectangle. The candidates are the
    pixels inside it that are at least peak - u (peak - minimum), with u random; each is dropped by itself. Everything
    random about an example is a function of its key alone. The choice carries no gradient: that of a kept pixel passes
    unchanged, that of a dropped one is 0.

    The paper fixes `drop_probability` only. The authors' released code erases an example with probability 0.5, draws
    u from 0..0.5 (once for the whole batch) and both half-sides from 4 pixels up to half the extent of the candidates'
    bounding box, and silently erases nothing where that range is empty; its map is 0.6 m + 0.2 from there on, which is
    also the drop probability. Here `side` is a share of the map, which means the same at every resolution and never
    is empty; its default reaches 0.2 to 0.6 of the map away from the peak, from a part of an object to most of it.

    Args:
      activation_map: floating point [B, h, w, 1] in 0..1.
      keys: int64 [B, 2], one for each example; see `randomness.key`.
      probability: of an example to be erased at all, in 0..1.
      side: (min, max) of the height and of the width of the rectangle, drawn independently and uniformly, in shares
        of the map's height and width, in 0..2. A pixel belongs to the rectangle if its centre does. What reaches
        beyond the map is lost, so that only 2 covers the map from any peak.
      candidate_threshold: (min, max) of u, drawn uniformly per example, in 0..1: 0 leaves the peak (and its equals)
        as the only candidate, 1 makes every pixel one.
      drop_probability: of a candidate to be dropped, in 0..1.
      adaptive: whether each candidate's own map value is its drop probability (section 2), instead of
        `drop_probability`.

    Returns:
      The erased map, of the shape and dtype of `activation_map`.

    Raises:
      UserError: if an option is out of range, or the map has another shape.
    """
    check("probability", probability)
    check("side", side, count=2, largest=2.0)
    check("candidate_threshold", candidate_threshold, count=2)
    check("drop_probability", drop_probability)
    if not isinstance(adaptive, bool):
        raise UserError(f"Erasing option adaptive must be True or False, got {adaptive!r}.")
    activation_map = check_map(activation_map)

    values = tf.stop_gradient(tf.cast(activation_map, tf.float32))  # [B, h, w, 1]
    draws = randomness.uniform(keys, [4], "erasing/example")  # [B, 4]
    for_height, for_width, for_threshold, for_erasing = tf.unstack(draws[..., None, None, None], axis=1)  # [B, 1, 1, 1]
    dropped = rectangle(values, *_first_peak(values), scale_between(side, for_height), scale_between(side, for_width))
    dropped &= _candidates(values, scale_between(candidate_threshold, for_threshold))
    dropped &= for_erasing < probability
    dropped &= randomness.uniform_like(values, keys, "erasing/pixels") < (values if adaptive else drop_probability)
    return tf.where(dropped, tf.zeros_like(activation_map), activation_map)


def _first_peak(values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns row and column of each map's first peak, int32 [B, 1, 1, 1] each."""
    rows, columns = tf.shape(values)[1], tf.shape(values)[2]
    flat = tf.reshape(values, [-1, rows * columns])
    # tf.argmax does not promise which one of equal values it returns.
    is_peak = tf.equal(flat, tf.reduce_max(flat, axis=1, keepdims=True))
    peak = tf.reduce_min(tf.where(is_peak, tf.range(rows * columns), rows * columns), axis=1)[:, None, None, None]
    return peak // columns, peak % columns


def _candidates(values: tf.Tensor, depth: tf.Tensor) -> tf.Tensor:
    """Returns where the map is at least peak - depth (peak - minimum): bool [B, h, w, 1], from depth [B, 1, 1, 1]."""
    peak = tf.reduce_max(values, axis=[1, 2, 3], keepdims=True)
    lowest = tf.reduce_min(values, axis=[1, 2, 3], keepdims=True)
    # In this form depth 1 gives exactly the minimum; the outer minimum keeps rounding from excluding the peak itself.
    return values >= tf.minimum((1.0 - depth) * peak + depth * lowest, peak)
