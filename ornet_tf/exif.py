"""The EXIF orientation of JPEG files, read and undone inside the graph. Whatever a file states, nothing here fails."""
from __future__ import annotations

import tensorflow as tf

# A camera writes about ten segments before the picture data; a colour profile can add some dozens.
_MAX_SEGMENTS = 256
_APP1, _END, _PICTURE_DATA = 0xE1, 0xD9, 0xDA
_ORIENTATION_TAG = 0x0112
_SHORT, _LONG = 3, 4
_NAME = b"Exif\0\0"


def orientation(encoded: tf.Tensor) -> tf.Tensor:
    """Reads the EXIF orientation of a JPEG file.

    Args:
      encoded: scalar string, the bytes of the file.

    Returns:
      Scalar int32 in 1..8; 1 (upright) if the file states none or states it in a malformed way.
    """

    def read():
        start, length = _exif_segment(encoded)
        return tf.cond(length > 0, lambda: _tiff_orientation(tf.strings.substr(encoded, start, length)),
                       lambda: tf.constant(1))

    # Most files hold no EXIF data. To search the bytes for its name is faster than to walk all segments.
    parts = tf.raw_ops.StringSplitV2(input=encoded[tf.newaxis], sep=_NAME, maxsplit=1)
    return tf.cond(tf.size(parts.values) > 1, read, lambda: tf.constant(1))


def upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Undoes an EXIF orientation.

    Args:
      image: [H, W, 3] as stored.
      orientation: scalar int32 in 1..8.

    Returns:
      [H, W, 3], or [W, H, 3] for orientations 5..8.
    """

    def turned():
        # 1..4 are no flip, left-right, both, up-down; 5..8 are the same after a transposition.
        transposed = tf.cond(orientation > 4, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
        flips = (orientation - 1) % 4
        axes = tf.boolean_mask([0, 1], tf.stack([flips >= 2, tf.logical_or(flips == 1, flips == 2)]))
        return tf.reverse(transposed, axes)

    return tf.cond(orientation > 1, turned, lambda: image)  # a reversal along no axis still moves every pixel


def _exif_segment(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Walks the segments of a JPEG; scalar int32 start and length of the EXIF data, length 0 if there is none."""
    size = tf.strings.length(encoded)

    def walk(at, start, length):
        segment = tf.cast(tf.io.decode_raw(tf.strings.substr(encoded, at, 4), tf.uint8), tf.int32)
        marker, span = segment[1], 2 + segment[2] * 256 + segment[3]
        is_marker, is_fill = tf.equal(segment[0], 0xFF), tf.equal(marker, 0xFF)
        is_alone = tf.logical_or(tf.equal(marker, 0x01), tf.equal(marker // 8, 0xD0 // 8))
        has_length = tf.reduce_all([marker != 0, marker != _END, marker != _PICTURE_DATA, span >= 4])
        name = tf.strings.substr(encoded, at + 4, 6)
        is_exif = tf.reduce_all([is_marker, tf.equal(marker, _APP1), tf.equal(name, _NAME)])
        goes_on = tf.reduce_all([is_marker, tf.reduce_any([is_fill, is_alone, has_length]), tf.logical_not(is_exif)])
        step = tf.where(is_fill, 1, tf.where(is_alone, 2, span))
        return (tf.where(goes_on, at + step, size), tf.where(is_exif, at + 10, start),
                tf.where(is_exif, tf.maximum(span - 10, 0), length))

    _, start, length = tf.while_loop(
        lambda at, start, length: at + 10 <= size, walk, (tf.constant(2), tf.constant(0), tf.constant(0)),
        maximum_iterations=_MAX_SEGMENTS, parallel_iterations=1)
    return start, length


def _tiff_orientation(exif: tf.Tensor) -> tf.Tensor:
    """Reads the orientation from the first directory of EXIF data (a TIFF structure); scalar int32 in 1..8."""
    data = tf.cast(tf.io.decode_raw(exif, tf.uint8), tf.int64)
    size = tf.size(data, tf.int64)
    data = tf.concat([data, tf.zeros([16], tf.int64)], 0)  # padded: every read below stays inside, whatever is stated
    order = tf.strings.substr(exif, 0, 2)
    little = tf.equal(order, b"II")

    def number(at, digits):
        return _number(tf.ensure_shape(data[at:at + digits], [digits]), little)

    first = tf.minimum(number(4, 4), size)
    room = tf.minimum(number(first, 2), (size - tf.minimum(first + 2, size)) // 12)
    entries = tf.reshape(data[first + 2:first + 2 + 12 * room], [room, 12])  # each: tag 2, kind 2, count 4, value 4
    tag, kind = _number(entries[:, :2], little), _number(entries[:, 2:4], little)
    is_long = tf.equal(kind, _LONG)
    value = tf.where(is_long, _number(entries[:, 8:], little), _number(entries[:, 8:10], little))
    found = tf.logical_and(tf.equal(tag, _ORIENTATION_TAG), tf.logical_or(is_long, tf.equal(kind, _SHORT)))
    value = tf.concat([tf.boolean_mask(value, found), [1]], 0)[0]
    is_tiff = tf.logical_and(tf.equal(number(2, 2), 42), tf.logical_or(little, tf.equal(order, b"MM")))
    is_valid = tf.reduce_all([is_tiff, value >= 1, value <= 8])
    return tf.where(is_valid, tf.cast(value, tf.int32), 1)


def _number(digits: tf.Tensor, little_endian: tf.Tensor) -> tf.Tensor:
    """Reads int64 [..., n] bytes as unsigned numbers, int64 [...]."""
    weights = tf.constant([256**i for i in range(digits.shape[-1])], tf.int64)
    return tf.reduce_sum(digits * tf.where(little_endian, weights, weights[::-1]), axis=-1)
