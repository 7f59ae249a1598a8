"""Connected components by the kernel of TensorFlow Addons: for evaluation offline, where the package is installed.

Its kernel is a custom operation, which neither TensorFlow Serving nor the default stack has, so nothing that is
exported uses it; `components` finds the same in plain graph operations.
"""
from __future__ import annotations

import functools

import tensorflow as tf

from ornet_tf.compat import addons_connected_components
from ornet_tf.errors import UserError
from ornet_tf.maps import components

BACKENDS = ("auto", "addons", "native")


def use_addons(backend: str) -> bool:
    """Returns whether components come from TensorFlow Addons: "addons" asks for it, "auto" takes it where it is.

    Raises:
      UserError: for an unknown backend, or for "addons" where the package can't be imported.
    """
    if backend not in BACKENDS:
        raise UserError(f"components: expected one of {', '.join(BACKENDS)}, got {backend!r}.")
    if backend == "native":
        return False
    found = addons_connected_components() is not None
    if backend == "addons" and not found:
        raise UserError(
            "components: 'addons' needs tensorflow-addons, which can't be imported here; install "
            "requirements-addons.txt into an environment of its own, or choose 'native' or 'auto'."
        )
    return found


def label_components(binary: tf.Tensor) -> tf.Tensor:
    """Labels the 8-connected components of bool [N, h, w] as `components.label_components` does."""
    return tf.where(binary, _first_pixels(binary) + 1, 0)


def largest_extents(levels: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Finds the largest component of each map at each threshold as `components.largest_extents` does.

    Args:
      levels: int32 [B, h, w], how many of the thresholds each pixel exceeds.
      count: scalar int32, the number T of thresholds.

    Returns:
      int32 [B, T, 4]: first row, first column, last row and last column; last < first where no pixel is on.
    """
    spec = tf.TensorSpec([None, None, 4], tf.int32)
    return components.map_in_chunks(functools.partial(_extents, count=count), levels, count, spec)


def _extents(levels: tf.Tensor, *, count: tf.Tensor) -> tf.Tensor:
    """Computes `largest_extents` for one chunk of maps."""
    batch, height, width = tf.unstack(tf.shape(levels))
    pixels = height * width
    on = tf.reshape(levels[:, tf.newaxis] > tf.range(count)[:, tf.newaxis, tf.newaxis], [-1, height, width])
    # A component goes by its first pixel, the background by a number beyond all of them.
    name = tf.reshape(tf.where(on, _first_pixels(on), pixels), [batch * count, pixels])
    area = tf.math.bincount(name, minlength=pixels + 1, maxlength=pixels + 1, axis=-1)[:, :pixels]
    # Of equally large ones the first pixel decides; tf.argmax does not promise which of equal values it takes.
    index = tf.range(pixels)
    largest = tf.reduce_min(tf.where(area == tf.reduce_max(area, axis=1, keepdims=True), index, pixels), axis=1)
    wins = tf.reshape(name == largest[:, tf.newaxis], [-1, height, width])
    (top, bottom), (left, right) = _range(tf.reduce_any(wins, axis=2)), _range(tf.reduce_any(wins, axis=1))
    return tf.reshape(tf.stack([top, left, bottom, right], axis=-1), [batch, count, 4])


def _first_pixels(binary: tf.Tensor) -> tf.Tensor:
    """Returns the raster index (y * w + x) of the first pixel of each pixel's component, int32 [N, h, w].

    The kernel joins pixels that share a side. So each pixel becomes a block of 3x3 nodes on a grid of twice the
    resolution, whose outer nodes it shares with its neighbours: blocks that touch, if only by a corner, have a node in
    common, and between all others there is a gap.
    """
    height, width = tf.unstack(tf.shape(binary)[1:])
    nodes = binary
    for axis in (1, 2):
        doubled = tf.repeat(nodes, 2, axis=axis)
        off = tf.zeros_like(tf.gather(nodes, [0], axis=axis))
        nodes = tf.concat([doubled, off], axis) | tf.concat([off, doubled], axis)
    labels = addons_connected_components()(nodes)[:, 1::2, 1::2]  # unique in the whole batch; 0 is background
    index = tf.broadcast_to(tf.reshape(tf.range(height * width), [height, width]), tf.shape(labels))
    return tf.gather(tf.math.unsorted_segment_min(index, labels, tf.maximum(tf.reduce_max(labels), 0) + 1), labels)


def _range(on: tf.Tensor):
    """Returns the first and the last index that is on along the last axis of bool [N, n]; n and -1 if none is."""
    index = tf.range(tf.shape(on)[1])
    first = tf.reduce_min(tf.where(on, index, tf.size(index)), axis=-1)
    return first, tf.reduce_max(tf.where(on, index, -1), axis=-1)
