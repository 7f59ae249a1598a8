"""Finds segments of JPEG files inside the graph. No content of a file causes an error."""
from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from ornet_tf.data.orientation import END, IMAGE_DATA, MAX_SEGMENTS


def find_first(encoded: tf.Tensor, is_wanted: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """Finds the first segment for which `is_wanted` is true.

    `orientation` reads the segments in the same way without TensorFlow; change both together.

    Args:
      encoded: scalar string, the bytes of the file.
      is_wanted: maps a segment's marker and start, scalar int32 each, to scalar bool.

    Returns:
      int32 [2]: the position of the segment's marker, and the length of marker and segment in bytes as the segment
      states it; the length is 0 if there is no such segment.
    """
    size = tf.strings.length(encoded)

    def step(at, found):
        segment = tf.cast(tf.io.decode_raw(tf.strings.substr(encoded, at, 4), tf.uint8), tf.int32)
        marker, span = segment[1], 2 + segment[2] * 256 + segment[3]
        is_marker, is_fill = tf.equal(segment[0], 0xFF), tf.equal(marker, 0xFF)
        is_alone = tf.logical_or(tf.equal(marker, 0x01), tf.equal(marker // 8, 0xD0 // 8))  # no length follows
        has_length = tf.reduce_all([marker != 0, marker != END, marker != IMAGE_DATA, span >= 4])
        is_found = tf.logical_and(is_marker, is_wanted(marker, at))
        continues = tf.reduce_all([is_marker, tf.reduce_any([is_fill, is_alone, has_length]), tf.logical_not(is_found)])
        skipped = tf.where(is_fill, 1, tf.where(is_alone, 2, span))
        return tf.where(continues, at + skipped, size), tf.where(is_found, tf.stack([at, span]), found)

    _, found = tf.while_loop(
        lambda at, found: at + 10 <= size, step, (tf.constant(2), tf.constant([0, 0])),
        maximum_iterations=MAX_SEGMENTS, parallel_iterations=1)
    return found
