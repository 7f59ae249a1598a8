"""The gate in front of the decode ops: which files must not reach them, read from their first bytes and headers.

TensorFlow's decode ops are one kernel that looks at the first bytes and also opens GIF, WebP, BMP and JPEG XL, some of
them without any limit on memory; and a small JPEG or PNG file can ask for minutes of work or gigabytes.
"""
from __future__ import annotations

import functools
from collections.abc import Callable

import tensorflow as tf

from ornet_tf.data import jpeg_segments

MAX_BYTES = 20_000_000
MAX_PIXELS = 50_000_000

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
# Each scan of a JPEG goes over the whole image, even one of a dozen bytes: 0.1 s for 50 million grey pixels. Encoders
# write 10, some up to 30. The largest image may have the first number of scans, smaller ones more in proportion, up
# to the second.
_SCANS_OF_LARGEST, _MAX_SCANS = 20, 1000
_SCAN = b"\xff\xda\0"  # the marker and the high byte of the length that follows it, which is 12 at most
# Frames of JPEG (ITU-T T.81, table B.1) that no decode op reads; these are the ordinary and the arithmetic-coded ones.
_LOSSLESS, _HIERARCHICAL = (0xC3, 0xCB), (0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF)
_READ = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)
_DEPTHS = (12, 16)  # bits of a channel that are not read, either
# libpng inflates and keeps these, up to 8 MB each from 8 kB; writers use a handful.
_PNG_TEXTS, _MAX_PNG_TEXTS = (b"zTXt", b"iTXt"), 10


def jpeg_size(encoded: tf.Tensor) -> tf.Tensor:
    """Reads height and width of a JPEG file as stored, int64 [2].

    Raises:
      tf.errors.InvalidArgumentError: if there is no readable header.
    """
    return tf.cast(tf.io.extract_jpeg_shape(encoded)[:2], tf.int64)


def png_size(encoded: tf.Tensor) -> tf.Tensor:
    """Reads height and width of a PNG file of at least 24 bytes, int64 [2]; its numbers are unsigned."""
    width_height = tf.io.decode_raw(tf.strings.substr(encoded, 16, 8), tf.int32, little_endian=False)
    return tf.reverse(tf.cast(width_height, tf.int64) % 2**32, [0])


def refusal(
    encoded: tf.Tensor,
    *,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
    read_jpeg_size: Callable[[tf.Tensor], tf.Tensor] = jpeg_size,
) -> tf.Tensor:
    """Says why a file must not reach a decode op, from its length, first bytes and header.

    Args:
      encoded: scalar string, the bytes of the file.
      max_bytes: the largest file that is read.
      max_pixels: the largest height x width that is decoded.
      read_jpeg_size: does what `jpeg_size` does; instead of failing it may give negative numbers.

    Returns:
      Scalar string; empty if the file may be decoded.

    Raises:
      tf.errors.InvalidArgumentError: if a JPEG has no readable header.
    """
    length = tf.cast(tf.strings.length(encoded), tf.int64)
    # Padded, so that no position below lies outside a short file.
    head = tf.strings.join([tf.strings.substr(encoded, 0, 32), b"\0" * 32])
    is_jpeg, is_png = starts_with(head, JPEG), starts_with(head, PNG)
    is_small = length <= max_bytes

    def of_jpeg():
        size = read_jpeg_size(encoded)
        scans = tf.cast(_count(encoded, _SCAN, _MAX_SCANS + 1), tf.int64)
        is_too_much = tf.reduce_prod(size) * scans > _SCANS_OF_LARGEST * max_pixels
        return size, tf.logical_or(is_too_much, scans > _MAX_SCANS)

    def of_png():
        texts = tf.add_n([_count(encoded, name, _MAX_PNG_TEXTS + 1) for name in _PNG_TEXTS])
        return png_size(head), texts > _MAX_PNG_TEXTS

    size, is_laborious = tf.cond(tf.logical_and(is_jpeg, is_small), of_jpeg, of_png)
    is_wrong_png = tf.logical_and(is_png, tf.logical_or(length < 33, tf.strings.substr(head, 12, 4) != b"IHDR"))

    def explained():
        shown = tf.strings.as_string(size)
        why = tf.constant("")
        for condition, text in (  # the last condition that holds wins
            (is_laborious, tf.where(is_png, "a PNG of too many compressed texts", "a JPEG of too many scans")),
            (has_no_pixels, "an image without pixels"),
            (has_many_pixels,
             tf.strings.join([shown[0], " x ", shown[1], f" pixels (height x width); at most {max_pixels} are read"])),
            (tf.reduce_min(size) < 0, damaged(encoded)),
            (is_wrong_png, damaged(encoded)),
            (is_other, _other_format(head)),
            (tf.logical_not(is_small),
             tf.strings.join([tf.strings.as_string(length), f" bytes; at most {max_bytes} are read"])),
            (tf.equal(length, 0), "an empty file"),
        ):
            why = tf.where(condition, text, why)
        return why

    has_no_pixels = tf.reduce_min(size) < 1
    # Compared as a quotient: the product of two sizes from a forged header can overflow.
    has_many_pixels = size[0] > max_pixels // tf.maximum(size[1], 1)
    is_other = tf.logical_not(tf.logical_or(is_jpeg, is_png))  # an empty file is one, too
    wrong = tf.reduce_any(
        [is_laborious, has_no_pixels, has_many_pixels, is_wrong_png, is_other, tf.logical_not(is_small)]
    )
    # Nearly every file is good; the words are made for the others only.
    return tf.cond(wrong, explained, lambda: tf.constant(""))


def damaged(encoded: tf.Tensor) -> tf.Tensor:
    """Says of a JPEG or PNG file that can't be decoded that it is damaged, or of a kind that is not read.

    Only the files that failed are looked at: walking the segments of every file would cost a twentieth of decoding it.

    Args:
      encoded: scalar string, the bytes of the file.

    Returns:
      Scalar string.
    """
    jpeg = functools.partial(_damaged_jpeg, encoded)
    return tf.cond(starts_with(encoded, PNG), lambda: tf.constant("truncated or damaged PNG"), jpeg)


# As a function of its own it is one node of the graphs that call it; the nodes of a branch cost time also where another
# is taken.
@tf.function(
    input_signature=[tf.TensorSpec([], tf.string)], autograph=False, experimental_attributes={"_noinline": True}
)
def _damaged_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    def is_frame(marker, at):
        del at
        return tf.reduce_any(tf.equal(marker, (*_READ, *_LOSSLESS, *_HIERARCHICAL)))

    at, span = tf.unstack(jpeg_segments.find_first(encoded, is_frame))
    head = tf.strings.join([tf.strings.substr(encoded, at, 5), b"\0" * 5])
    data = tf.cast(tf.io.decode_raw(head, tf.uint8), tf.int32)
    marker, depth = data[1], data[4]
    why = tf.constant("truncated or damaged JPEG")
    for has_it, text in (  # the last condition that holds wins
        (tf.equal(depth, _DEPTHS),
         tf.strings.join(["a JPEG with ", tf.strings.as_string(depth), " bits per channel; only 8 are read"])),
        (tf.equal(marker, _LOSSLESS), "a lossless JPEG; only baseline and progressive ones are read"),
        (tf.equal(marker, _HIERARCHICAL), "a hierarchical JPEG; only baseline and progressive ones are read"),
    ):
        why = tf.where(tf.logical_and(span > 0, tf.reduce_any(has_it)), text, why)
    return why


def starts_with(text: tf.Tensor, magic: bytes) -> tf.Tensor:
    """Returns whether each of the strings starts with `magic`; bool of the same shape."""
    return tf.equal(tf.strings.substr(text, 0, len(magic)), magic)


def _count(encoded: tf.Tensor, part: bytes, most: int) -> tf.Tensor:
    """Counts `part` in a file up to `most`; scalar int32."""
    return tf.size(tf.raw_ops.StringSplitV2(input=encoded[tf.newaxis], sep=part, maxsplit=most).values) - 1


def _other_format(head: tf.Tensor) -> tf.Tensor:
    """Names the format of a refused file from its padded first bytes; scalar string."""
    offsets, magics, names = zip(*_REFUSED)
    parts = tf.strings.substr(tf.fill([len(magics)], head), offsets, [len(magic) for magic in magics])
    matches = tf.equal(parts, tf.constant(magics))
    texts = tf.constant([f"{name}; only JPEG and PNG are read" for name in names])
    return tf.where(tf.reduce_any(matches), tf.gather(texts, tf.argmax(tf.cast(matches, tf.int32))),
                    "neither JPEG nor PNG")
