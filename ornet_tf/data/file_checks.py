"""Checks the first bytes and the header of image files, before a decode op reads them.

TensorFlow's decode ops share one kernel, which also opens GIF, WebP, BMP and JPEG XL, some without a limit on memory.
And decoding a small JPEG or PNG file can take minutes or gigabytes.
"""
from __future__ import annotations

import functools
from collections.abc import Callable

import tensorflow as tf

from ornet_tf.data import MAX_BYTES, MAX_PIXELS, jpeg_segments

JPEG = b"\xff\xd8\xff"
PNG = b"\x89PNG\r\n\x1a\n"
_REFUSED = (  # offset of the magic bytes, magic bytes, name
    (0, b"GIF8", "a GIF"),
    (8, b"WEBP", "a WebP"),
    (0, b"BM", "a BMP"),
    (0, b"\xff\x0a", "a JPEG XL"),
    (4, b"JXL ", "a JPEG XL"),
    (0, b"II*\0", "a TIFF"),
    (0, b"MM\0*", "a TIFF"),
    (0, b"II+\0", "a TIFF"),
    (0, b"MM\0+", "a TIFF"),
    (4, b"ftyphei", "a HEIC"),
    (4, b"ftyphev", "a HEIC"),
    (4, b"ftypmif1", "a HEIC"),
    (4, b"ftypmsf1", "a HEIC"),
    (4, b"ftypavi", "an AVIF"),
)
# Decoding a scan of a JPEG takes time in proportion to the image size, 0.1 s for 50 million grey pixels, even if the
# scan is a dozen bytes long. Encoders write 10 scans, some up to 30. An image of `max_pixels` may have
# _SCANS_OF_LARGEST scans; a smaller one more in proportion, at most _MAX_SCANS.
_SCANS_OF_LARGEST, _MAX_SCANS = 20, 1000
_SCAN = b"\xff\xda\0"  # the marker, and the high byte of the length that follows it: the length is at most 12
# Frame markers of JPEG (ITU-T T.81, table B.1), Huffman-coded and arithmetic-coded. Decode ops read only _READ.
_LOSSLESS, _HIERARCHICAL = (0xC3, 0xCB), (0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF)
_READ = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)
_UNREAD_DEPTHS = (12, 16)  # bits per channel
# libpng decompresses these texts and holds them in memory, up to 8 MB each from 8 kB. Encoders write a few at most.
_PNG_TEXTS, _MAX_PNG_TEXTS = (b"zTXt", b"iTXt"), 10


def jpeg_size(encoded: tf.Tensor) -> tf.Tensor:
    """Reads height and width of a JPEG file as stored, int64 [2].

    Raises:
      tf.errors.InvalidArgumentError: if there is no readable header.
    """
    return tf.cast(tf.io.extract_jpeg_shape(encoded)[:2], tf.int64)


def png_size(encoded: tf.Tensor) -> tf.Tensor:
    """Reads height and width of a PNG file of at least 24 bytes, int64 [2]."""
    width_height = tf.io.decode_raw(tf.strings.substr(encoded, 16, 8), tf.int32, little_endian=False)
    return tf.reverse(tf.cast(width_height, tf.int64) % 2**32, [0])  # they are unsigned


def refusal(
    encoded: tf.Tensor,
    *,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
    read_jpeg_size: Callable[[tf.Tensor], tf.Tensor] = jpeg_size,
) -> tf.Tensor:
    """Returns the reason why a file must not be decoded, from its length, first bytes and header.

    Args:
      encoded: scalar string, the bytes of the file.
      max_bytes: the largest file size that is accepted.
      max_pixels: the largest height x width that is accepted.
      read_jpeg_size: a replacement for `jpeg_size`; it may return negative numbers instead of failing.

    Returns:
      Scalar string, the reason; empty if the file may be decoded.

    Raises:
      tf.errors.InvalidArgumentError: if a JPEG has no readable header.
    """
    length = tf.cast(tf.strings.length(encoded), tf.int64)
    # Padded, so that no read below lies outside a short file.
    head = tf.strings.join([tf.strings.substr(encoded, 0, 32), b"\0" * 32])
    is_jpeg, is_png = starts_with(head, JPEG), starts_with(head, PNG)
    is_small = length <= max_bytes

    def check_jpeg():
        size = read_jpeg_size(encoded)
        scans = tf.cast(_count(encoded, _SCAN, _MAX_SCANS + 1), tf.int64)
        is_costly = tf.reduce_prod(size) * scans > _SCANS_OF_LARGEST * max_pixels
        return size, tf.logical_or(is_costly, scans > _MAX_SCANS)

    def check_png():
        texts = tf.add_n([_count(encoded, name, _MAX_PNG_TEXTS + 1) for name in _PNG_TEXTS])
        return png_size(head), texts > _MAX_PNG_TEXTS

    size, is_costly = tf.cond(tf.logical_and(is_jpeg, is_small), check_jpeg, check_png)
    is_wrong_png = tf.logical_and(is_png, tf.logical_or(length < 33, tf.strings.substr(head, 12, 4) != b"IHDR"))

    def explain():
        sides = tf.strings.as_string(size)
        reason = tf.constant("")
        for condition, text in (  # the last true condition wins
            (is_costly, tf.where(is_png, "a PNG of too many compressed texts", "a JPEG of too many scans")),
            (has_no_pixels, "an image without pixels"),
            (has_many_pixels,
             tf.strings.join([sides[0], " x ", sides[1], f" pixels (height x width); at most {max_pixels} are read"])),
            (tf.reduce_min(size) < 0, describe_damage(encoded)),
            (is_wrong_png, describe_damage(encoded)),
            (is_other, _describe_format(head)),
            (tf.logical_not(is_small),
             tf.strings.join([tf.strings.as_string(length), f" bytes; at most {max_bytes} are read"])),
            (tf.equal(length, 0), "an empty file"),
        ):
            reason = tf.where(condition, text, reason)
        return reason

    has_no_pixels = tf.reduce_min(size) < 1
    # A quotient, because the product of two sizes from a forged header can overflow.
    has_many_pixels = size[0] > max_pixels // tf.maximum(size[1], 1)
    is_other = tf.logical_not(tf.logical_or(is_jpeg, is_png))  # also true for an empty file
    is_refused = tf.reduce_any(
        [is_costly, has_no_pixels, has_many_pixels, is_wrong_png, is_other, tf.logical_not(is_small)]
    )
    # Most files are accepted, and `explain` takes time.
    return tf.cond(is_refused, explain, lambda: tf.constant(""))


def describe_damage(encoded: tf.Tensor) -> tf.Tensor:
    """Returns why a JPEG or PNG file can't be decoded: it is damaged, or a JPEG of an unsupported kind.

    It is called only for files that have failed: searching the segments of a JPEG costs a twentieth of its decoding.

    Args:
      encoded: scalar string, the bytes of the file.

    Returns:
      Scalar string.
    """
    jpeg = functools.partial(_describe_jpeg_damage, encoded)
    return tf.cond(starts_with(encoded, PNG), lambda: tf.constant("truncated or damaged PNG"), jpeg)


# Not inlined, this is one node in the graphs that call it. The nodes of a branch cost time even if it is not taken.
@tf.function(
    input_signature=[tf.TensorSpec([], tf.string)], autograph=False, experimental_attributes={"_noinline": True}
)
def _describe_jpeg_damage(encoded: tf.Tensor) -> tf.Tensor:
    def is_frame(marker, at):
        del at
        return tf.reduce_any(tf.equal(marker, (*_READ, *_LOSSLESS, *_HIERARCHICAL)))

    at, span = tf.unstack(jpeg_segments.find_first(encoded, is_frame))
    head = tf.strings.join([tf.strings.substr(encoded, at, 5), b"\0" * 5])
    data = tf.cast(tf.io.decode_raw(head, tf.uint8), tf.int32)
    marker, depth = data[1], data[4]
    reason = tf.constant("truncated or damaged JPEG")
    for conditions, text in (  # the last entry with a true condition wins
        (tf.equal(depth, _UNREAD_DEPTHS),
         tf.strings.join(["a JPEG with ", tf.strings.as_string(depth), " bits per channel; only 8 are read"])),
        (tf.equal(marker, _LOSSLESS), "a lossless JPEG; only baseline and progressive ones are read"),
        (tf.equal(marker, _HIERARCHICAL), "a hierarchical JPEG; only baseline and progressive ones are read"),
    ):
        reason = tf.where(tf.logical_and(span > 0, tf.reduce_any(conditions)), text, reason)
    return reason


def starts_with(text: tf.Tensor, magic: bytes) -> tf.Tensor:
    """Returns whether each of the strings starts with `magic`; bool of the same shape."""
    return tf.equal(tf.strings.substr(text, 0, len(magic)), magic)


def _count(encoded: tf.Tensor, part: bytes, most: int) -> tf.Tensor:
    """Returns how often `part` is in a file, at most `most`; scalar int32."""
    return tf.size(tf.raw_ops.StringSplitV2(input=encoded[tf.newaxis], sep=part, maxsplit=most).values) - 1


def _describe_format(head: tf.Tensor) -> tf.Tensor:
    """Returns the format of a file that is neither JPEG nor PNG, from its padded first bytes; scalar string."""
    offsets, magics, names = zip(*_REFUSED)
    parts = tf.strings.substr(tf.fill([len(magics)], head), offsets, [len(magic) for magic in magics])
    matches = tf.equal(parts, tf.constant(magics))
    texts = tf.constant([f"{name}; only JPEG and PNG are read" for name in names])
    return tf.where(tf.reduce_any(matches), tf.gather(texts, tf.argmax(tf.cast(matches, tf.int32))),
                    "neither JPEG nor PNG")
