"""Erasing strategies. A plug-in defines `erase(activation_map, keys, *, options...) -> map`, for training only.

Here stands what several of them share.
"""
from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ornet_tf.errors import UserError


def check(name: str, given: Any, *, count: int = 1, largest: float = 1.0) -> None:
    """Raises unless `given` is a number, or `count` of them in ascending order, in 0..largest."""
    values = given if count > 1 else (given,)
    what = "two numbers (min, max)" if count > 1 else "a number"
    if not isinstance(values, Sequence) or len(values) != count:
        raise UserError(f"Erasing option {name} must be {what}, got {given!r}.")
    if not all(isinstance(value, numbers.Real) for value in values):
        raise UserError(f"Erasing option {name} must be {what}, got {given!r}; write numbers without quotes.")
    if not 0.0 <= values[0] <= values[-1] <= largest:
        order = " with min <= max" if count > 1 else ""
        raise UserError(f"Erasing option {name} must be {what} between 0 and {largest:g}{order}, got {given!r}.")


def check_map(activation_map: Any) -> tf.Tensor:
    """Returns the maps as a tensor.

    Raises:
      ValueError: unless they are [B, h, w, 1].
    """
    activation_map = tf.convert_to_tensor(activation_map)
    if not activation_map.shape.is_compatible_with([None, None, None, 1]):
        raise ValueError(f"activation_map must have shape [B, h, w, 1], got {activation_map.shape}; add a last axis.")
    return activation_map


def scale_between(limits: Sequence[float], uniform: tf.Tensor) -> tf.Tensor:
    """Maps uniform numbers in 0..1 to numbers between two limits (min, max)."""
    return limits[0] + (limits[1] - limits[0]) * uniform


def rectangle(
    values: tf.Tensor, row: tf.Tensor, column: tf.Tensor, height: tf.Tensor, width: tf.Tensor
) -> tf.Tensor:
    """Returns where the rectangles are whose centres are those of the given pixels: bool [B, h, w, 1].

    Args:
      values: [B, h, w, 1], of which only the shape counts.
      row: of the pixel in each map, int32 [B, 1, 1, 1].
      column: of the pixel in each map, int32 [B, 1, 1, 1].
      height: of the rectangle as a share of the map's height, float32 [B, 1, 1, 1].
      width: of the rectangle as a share of the map's width, float32 [B, 1, 1, 1].
    """
    rows, columns = tf.shape(values)[1], tf.shape(values)[2]
    from_row = tf.abs(tf.range(rows)[:, None, None] - row)  # [B, h, 1, 1]
    from_column = tf.abs(tf.range(columns)[:, None] - column)  # [B, 1, w, 1]
    in_height = 2.0 * tf.cast(from_row, tf.float32) <= height * tf.cast(rows, tf.float32)
    in_width = 2.0 * tf.cast(from_column, tf.float32) <= width * tf.cast(columns, tf.float32)
    return in_height & in_width
