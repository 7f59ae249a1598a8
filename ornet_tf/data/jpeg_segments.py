"""Walks the segments of JPEG files inside the graph. Whatever a file states, nothing here fails."""
from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from ornet_tf.data.orientation import END, IMAGE_DATA, MAX_SEGMENTS


def find_first(encoded: tf.Tensor, is_wanted: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """Finds the first segment of a kind.

    `orientation.read` walks in the same way without TensorFlow: what is changed here has to be changed there.

    Args:
      encoded: scalar string, the bytes of the file.
      is_wanted: from a segment's marker and start, scalar int32 both, to scalar bool.

    Returns:
      int32 [2]: where the segment's marker starts, and the bytes of marker and segment as it states them; the second is
      0 if there is no such segment.
    """
    size = tf.strings.length(encoded)

    def step(at, found):
        segment = tf.cast(tf.io.decode_raw(tf.strings.substr(encoded, at, 4), tf.uint8), tf.int32)
        marker, span = segment[1], 2 + segment[2] * 256 + segment[3]
        is_marker, is_fill = tf.equal(segment[0], 0xFF), tf.equal(marker, 0xFF)
        is_alone = tf.logical_or(tf.equal(marker, 0x01), tf.equal(marker // 8, 0xD0 // 8))
        has_length = tf.reduce_all([marker != 0, marker != END, marker != IMAGE_DATA, span >= 4])
        is_found = tf.logical_and(is_marker, is_wanted(marker, at))
        goes_on = tf.reduce_all([is_marker, tf.reduce_any([is_fill, is_alone, has_length]), tf.logical_not(is_found)])
        ahead = tf.where(is_fill, 1, tf.where(is_alone, 2, span))
        return tf.where(goes_on, at + ahead, size), tf.where(is_found, tf.stack([at, span]), found)

    _, found = tf.while_loop(
        lambda at, found: at + 10 <= size, step, (tf.constant(2), tf.constant([0, 0])),
        maximum_iterations=MAX_SEGMENTS, parallel_iterations=1)
    return found
