"""Reads and undoes the EXIF orientation of JPEG files inside the graph. No content of a file causes an error.

`orientation` does the same without TensorFlow; change both together.
"""
from __future__ import annotations

import tensorflow as tf

from ornet_tf.data import jpeg_segments
from ornet_tf.data.orientation import APP1, LONG, NAME, SHORT, TAG


def read_orientation(encoded: tf.Tensor) -> tf.Tensor:
    """Reads the EXIF orientation of a JPEG file.

    Args:
      encoded: scalar string, the bytes of the file.

    Returns:
      Scalar int32 in 1..8; 1 (upright) if the orientation is missing or malformed.
    """
    # Most files hold no EXIF data. Searching the bytes for its name is faster than reading all segments.
    parts = tf.raw_ops.StringSplitV2(input=encoded[tf.newaxis], sep=NAME, maxsplit=1)
    return tf.cond(tf.size(parts.values) > 1, lambda: _read_segment(encoded), lambda: tf.constant(1))


def turn_upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Undoes an EXIF orientation.

    Args:
      image: [H, W, 3] as stored.
      orientation: scalar int32 in 1..8.

    Returns:
      [H, W, 3], or [W, H, 3] for orientations 5..8.
    """

    def turn():
        transposed = tf.cond(orientation > 4, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
        return tf.reverse(transposed, tf.boolean_mask([0, 1], _flipped_axes(orientation)))

    return tf.cond(orientation > 1, turn, lambda: image)  # tf.reverse copies the image even without axes


def upright_frame(extent: tf.Tensor, sides: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Returns the place of an image in its upright pixels: float32 [4], top, left, height and width.

    Args:
      extent: float32 [2], height and width of the image in stored pixels; the last of them may lie partly beyond it.
      sides: float32 [2], height and width of the stored pixels.
      orientation: scalar int32 in 1..8.
    """
    extent, beyond = (tf.where(orientation > 4, tf.reverse(x, [0]), x) for x in (extent, sides - extent))
    return tf.concat([tf.where(_flipped_axes(orientation), beyond, 0.0), extent], 0)


def _flipped_axes(orientation: tf.Tensor) -> tf.Tensor:
    """Returns whether an orientation flips up-down and left-right, after a transposition for 5..8; bool [2]."""
    flips = (orientation - 1) % 4  # 0: no flip, 1: left-right, 2: both, 3: up-down
    return tf.stack([flips >= 2, tf.logical_or(flips == 1, flips == 2)])


# Not inlined, this is one node in the graphs that call it, and traced once for all of them.
@tf.function(
    input_signature=[tf.TensorSpec([], tf.string)], autograph=False, experimental_attributes={"_noinline": True}
)
def _read_segment(encoded: tf.Tensor) -> tf.Tensor:
    """Reads the orientation of a JPEG that may have EXIF data, scalar int32 in 1..8."""
    start, length = _exif_segment(encoded)
    return tf.cond(
        length > 0, lambda: _tiff_orientation(tf.strings.substr(encoded, start, length)), lambda: tf.constant(1)
    )


def _exif_segment(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns start and length of the EXIF data of a JPEG, scalar int32 each; the length is 0 if there is none."""

    def is_exif(marker, at):
        return tf.logical_and(tf.equal(marker, APP1), tf.equal(tf.strings.substr(encoded, at + 4, len(NAME)), NAME))

    at, span = tf.unstack(jpeg_segments.find_first(encoded, is_exif))
    return at + 4 + len(NAME), tf.maximum(span - 4 - len(NAME), 0)


def _tiff_orientation(exif: tf.Tensor) -> tf.Tensor:
    """Reads the orientation from the first directory of EXIF data (a TIFF structure); scalar int32 in 1..8."""
    data = tf.cast(tf.io.decode_raw(exif, tf.uint8), tf.int64)
    size = tf.size(data, tf.int64)
    data = tf.concat([data, tf.zeros([16], tf.int64)], 0)  # padded, so that every read below stays inside
    order = tf.strings.substr(exif, 0, 2)
    little = tf.equal(order, b"II")

    def number(at, digits):
        return _number(tf.ensure_shape(data[at:at + digits], [digits]), little)

    first = tf.minimum(number(4, 4), size)
    room = tf.minimum(number(first, 2), (size - tf.minimum(first + 2, size)) // 12)
    entries = tf.reshape(data[first + 2:first + 2 + 12 * room], [room, 12])  # each: tag 2, kind 2, count 4, value 4
    tag, kind = _number(entries[:, :2], little), _number(entries[:, 2:4], little)
    is_long = tf.equal(kind, LONG)
    value = tf.where(is_long, _number(entries[:, 8:], little), _number(entries[:, 8:10], little))
    found = tf.logical_and(tf.equal(tag, TAG), tf.logical_or(is_long, tf.equal(kind, SHORT)))
    value = tf.concat([tf.boolean_mask(value, found), [1]], 0)[0]
    is_tiff = tf.logical_and(tf.equal(number(2, 2), 42), tf.logical_or(little, tf.equal(order, b"MM")))
    is_valid = tf.reduce_all([is_tiff, value >= 1, value <= 8])
    return tf.where(is_valid, tf.cast(value, tf.int32), 1)


def _number(digits: tf.Tensor, little_endian: tf.Tensor) -> tf.Tensor:
    """Converts bytes, int64 [..., n], to unsigned numbers, int64 [...]."""
    weights = tf.constant([256**i for i in range(digits.shape[-1])], tf.int64)
    return tf.reduce_sum(digits * tf.where(little_endian, weights, weights[::-1]), axis=-1)
