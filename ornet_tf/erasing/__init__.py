"""Erasing strategies. A plug-in defines `erase(activation_map, keys, *, options...) -> map`, for training only.

The functions here are used by several strategies.
"""
from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ornet_tf.errors import UserError


def check_number(name: str, value: Any) -> None:
    """Checks an option that is a number.

    Raises:
      UserError: unless it is a number in 0..1.
    """
    _check_numbers(name, value, (value,), "a number", largest=1.0)


def check_range(name: str, value: Any, *, largest: float = 1.0) -> None:
    """Checks an option that is a range (min, max).

    Raises:
      UserError: unless it is two numbers in ascending order in 0..largest.
    """
    if not isinstance(value, Sequence) or len(value) != 2:
        raise UserError(f"Erasing option {name} must be two numbers (min, max), got {value!r}.")
    _check_numbers(name, value, value, "two numbers (min, max) with min <= max", largest=largest)


def _check_numbers(name: str, value: Any, values: Sequence[Any], expected: str, *, largest: float) -> None:
    """Raises UserError unless `values`, the elements of the option `value`, ascend in 0..largest."""
    if not all(isinstance(element, numbers.Real) for element in values):
        raise UserError(f"Erasing option {name} must be {expected}, got {value!r}; write numbers without quotes.")
    if not 0.0 <= values[0] <= values[-1] <= largest:
        raise UserError(f"Erasing option {name} must be {expected} between 0 and {largest:g}, got {value!r}.")


def check_map(activation_map: Any) -> tf.Tensor:
    """Converts maps to a tensor and checks their shape.

    Raises:
      ValueError: unless they are [B, h, w, 1].
    """
    activation_map = tf.convert_to_tensor(activation_map)
    if not activation_map.shape.is_compatible_with([None, None, None, 1]):
        raise ValueError(f"activation_map must have shape [B, h, w, 1], got {activation_map.shape}; add a last axis.")
    return activation_map


def scale_between(limits: Sequence[float], uniform: tf.Tensor) -> tf.Tensor:
    """Scales uniform numbers in 0..1 to numbers between two limits (min, max)."""
    return limits[0] + (limits[1] - limits[0]) * uniform


def rectangle(
    values: tf.Tensor, row: tf.Tensor, column: tf.Tensor, height: tf.Tensor, width: tf.Tensor
) -> tf.Tensor:
    """Returns a mask of a rectangle around one pixel of each map: bool [B, h, w, 1].

    Args:
      values: the maps [B, h, w, 1]; only their shape is used.
      row: row of the pixel, int32 [B, 1, 1, 1].
      column: column of the pixel, int32 [B, 1, 1, 1].
      height: height of the rectangle as a share of the map's height, float32 [B, 1, 1, 1].
      width: width of the rectangle as a share of the map's width, float32 [B, 1, 1, 1].
    """
    rows, columns = tf.shape(values)[1], tf.shape(values)[2]
    row_distance = tf.abs(tf.range(rows)[:, None, None] - row)  # [B, h, 1, 1]
    column_distance = tf.abs(tf.range(columns)[:, None] - column)  # [B, 1, w, 1]
    in_height = 2.0 * tf.cast(row_distance, tf.float32) <= height * tf.cast(rows, tf.float32)
    in_width = 2.0 * tf.cast(column_distance, tf.float32) <= width * tf.cast(columns, tf.float32)
    return in_height & in_width
