"""Connected components with the kernel of TensorFlow Addons, for offline evaluation.

The kernel is a custom operation, which TensorFlow Serving and the default stack lack. Exports therefore never use it;
`components` computes the same with TensorFlow's own operations.
"""
from __future__ import annotations

import functools

import tensorflow as tf

from ornet_tf.compat import addons_connected_components
from ornet_tf.errors import UserError
from ornet_tf.maps import components

BACKENDS = ("auto", "addons", "native")


def use_addons(backend: str) -> bool:
    """Returns whether a backend uses TensorFlow Addons: "addons" always, "auto" if it can be imported, "native" never.

    Raises:
      UserError: for an unknown backend, or for "addons" if the package can't be imported.
    """
    if backend not in BACKENDS:
        raise UserError(f"components: expected one of {', '.join(BACKENDS)}, got {backend!r}.")
    if backend == "native":
        return False
    is_installed = addons_connected_components() is not None
    if backend == "addons" and not is_installed:
        raise UserError(
            "components: 'addons' needs tensorflow-addons, which can't be imported. Install "
            "requirements-addons.txt into a separate environment, or choose 'native' or 'auto'."
        )
    return is_installed


def label_components(binary: tf.Tensor) -> tf.Tensor:
    """Labels the 8-connected components of bool [N, h, w] as `components.label_components` does."""
    return tf.where(binary, _first_pixels(binary) + 1, 0)


def largest_extents(levels: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Finds the largest component of each map at each threshold as `components.largest_extents` does.

    Args:
      levels: int32 [B, h, w], how many of the thresholds each pixel exceeds.
      count: scalar int32, the number T of thresholds.

    Returns:
      int32 [B, T, 4]: first row, first column, last row and last column; last < first if no pixel is on.
    """
    spec = tf.TensorSpec([None, None, 4], tf.int32)
    return components.map_in_chunks(functools.partial(_extents, count=count), levels, count, spec)


def _extents(levels: tf.Tensor, *, count: tf.Tensor) -> tf.Tensor:
    """Computes `largest_extents` for one chunk of maps."""
    batch, height, width = tf.unstack(tf.shape(levels))
    pixels = height * width
    on = tf.reshape(levels[:, tf.newaxis] > tf.range(count)[:, tf.newaxis, tf.newaxis], [-1, height, width])
    # A component is labelled by its first pixel, the background by a number above all of these.
    label = tf.reshape(tf.where(on, _first_pixels(on), pixels), [batch * count, pixels])
    area = tf.math.bincount(label, minlength=pixels + 1, maxlength=pixels + 1, axis=-1)[:, :pixels]
    # Of equal areas the first pixel decides; tf.argmax does not promise which of equal values it returns.
    index = tf.range(pixels)
    largest = tf.reduce_min(tf.where(area == tf.reduce_max(area, axis=1, keepdims=True), index, pixels), axis=1)
    is_largest = tf.reshape(label == largest[:, tf.newaxis], [-1, height, width])
    top, bottom = _first_and_last(tf.reduce_any(is_largest, axis=2))
    left, right = _first_and_last(tf.reduce_any(is_largest, axis=1))
    return tf.reshape(tf.stack([top, left, bottom, right], axis=-1), [batch, count, 4])


def _first_pixels(binary: tf.Tensor) -> tf.Tensor:
    """Returns the raster index (y * w + x) of the first pixel of each pixel's component, int32 [N, h, w].

    The kernel joins only pixels that share a side. Each pixel is therefore drawn as a block of 3x3 nodes on a grid of
    twice the resolution, and neighbouring blocks overlap in their outer nodes. Pixels that share a side or a corner
    have a node in common; all others have a gap between them.
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


def _first_and_last(on: tf.Tensor):
    """Returns the first and the last True index along the last axis of bool [N, n]; n and -1 if there is none."""
    index = tf.range(tf.shape(on)[1])
    first = tf.reduce_min(tf.where(on, index, tf.size(index)), axis=-1)
    return first, tf.reduce_max(tf.where(on, index, -1), axis=-1)
