"""Attentive erasing (section 3.2.2): drops pixels around the map's peak, so that the rest of the object has to show."""
from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ornet_tf import randomness


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
      ValueError: if an option is out of range, or the map has another shape.
      TypeError: if an option is of the wrong kind.
    """
    _check("probability", probability)
    _check("side", side, count=2, largest=2.0)
    _check("candidate_threshold", candidate_threshold, count=2)
    _check("drop_probability", drop_probability)
    if not isinstance(adaptive, bool):
        raise TypeError(f"Erasing option adaptive must be True or False, got {adaptive!r}.")
    activation_map = tf.convert_to_tensor(activation_map)
    if not activation_map.shape.is_compatible_with([None, None, None, 1]):
        raise ValueError(f"activation_map must have shape [B, h, w, 1], got {activation_map.shape}; add a last axis.")

    values = tf.stop_gradient(tf.cast(activation_map, tf.float32))  # [B, h, w, 1]
    draws = randomness.uniform(keys, [4], "erasing/example")  # [B, 4]
    for_height, for_width, for_threshold, for_erasing = tf.unstack(draws[..., None, None, None], axis=1)  # [B, 1, 1, 1]
    dropped = _rectangle(values, _between(side, for_height), _between(side, for_width))  # bool [B, h, w, 1]
    dropped &= _candidates(values, _between(candidate_threshold, for_threshold))
    dropped &= for_erasing < probability
    dropped &= randomness.uniform_like(values, keys, "erasing/pixels") < (values if adaptive else drop_probability)
    return tf.where(dropped, tf.zeros_like(activation_map), activation_map)


def _check(name: str, given: Any, *, count: int = 1, largest: float = 1.0) -> None:
    """Raises unless `given` is a number, or `count` of them in ascending order, in 0..largest."""
    values = given if count > 1 else (given,)
    what = "two numbers (min, max)" if count > 1 else "a number"
    if not isinstance(values, Sequence) or len(values) != count:
        raise TypeError(f"Erasing option {name} must be {what}, got {given!r}.")
    if not all(isinstance(value, numbers.Real) for value in values):
        raise TypeError(f"Erasing option {name} must be {what}, got {given!r}; write numbers without quotes.")
    if not 0.0 <= values[0] <= values[-1] <= largest:
        order = " with min <= max" if count > 1 else ""
        raise ValueError(f"Erasing option {name} must be {what} between 0 and {largest:g}{order}, got {given!r}.")


def _between(limits: Sequence[float], uniform: tf.Tensor) -> tf.Tensor:
    return limits[0] + (limits[1] - limits[0]) * uniform


def _rectangle(values: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Returns where the rectangle around the first peak is: bool [B, h, w, 1], from sides [B, 1, 1, 1] as shares."""
    rows, columns = tf.shape(values)[1], tf.shape(values)[2]
    flat = tf.reshape(values, [-1, rows * columns])
    # tf.argmax does not promise which one of equal values it returns.
    is_peak = tf.equal(flat, tf.reduce_max(flat, axis=1, keepdims=True))
    peak = tf.reduce_min(tf.where(is_peak, tf.range(rows * columns), rows * columns), axis=1)[:, None, None, None]
    from_peak_y = tf.abs(tf.range(rows)[:, None, None] - peak // columns)  # [B, h, 1, 1]
    from_peak_x = tf.abs(tf.range(columns)[:, None] - peak % columns)  # [B, 1, w, 1]
    in_height = 2.0 * tf.cast(from_peak_y, tf.float32) <= height * tf.cast(rows, tf.float32)
    in_width = 2.0 * tf.cast(from_peak_x, tf.float32) <= width * tf.cast(columns, tf.float32)
    return in_height & in_width


def _candidates(values: tf.Tensor, depth: tf.Tensor) -> tf.Tensor:
    """Returns where the map is at least peak - depth (peak - minimum): bool [B, h, w, 1], from depth [B, 1, 1, 1]."""
    peak = tf.reduce_max(values, axis=[1, 2, 3], keepdims=True)
    lowest = tf.reduce_min(values, axis=[1, 2, 3], keepdims=True)
    # In this form depth 1 gives exactly the minimum; the outer minimum keeps rounding from excluding the peak itself.
    return values >= tf.minimum((1.0 - depth) * peak + depth * lowest, peak)
