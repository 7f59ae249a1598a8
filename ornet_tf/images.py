"""Decodes JPEG and PNG files from strangers inside the graph: gated, upright, always uint8 [H, W, 3].

TensorFlow's decode ops are one kernel that looks at the first bytes and also opens GIF, WebP, BMP and JPEG XL, some of
them without any limit on memory. So every file passes a gate before a decode op sees it. Only core ops are used: the
same functions run in tf.data, in evaluation and in an exported SavedModel.
"""
from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence

import tensorflow as tf

from ornet_tf import exif

MAX_BYTES = 20_000_000
MAX_PIXELS = 50_000_000

_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"
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
_MESSAGE = "Not a readable picture: "


def decode(encoded: tf.Tensor, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS) -> tf.Tensor:
    """Decodes a JPEG or PNG file.

    Grey, CMYK, palette and 16-bit pictures become 8-bit RGB; an alpha channel is dropped. The EXIF orientation of a
    JPEG is applied (that of a PNG is not read), so height and width are those of the upright picture.

    Args:
      encoded: scalar string, the bytes of the file.
      max_bytes: the largest file that is read.
      max_pixels: the largest height x width, as the file's header states it, that is decoded.

    Returns:
      uint8 [H, W, 3], RGB.

    Raises:
      tf.errors.InvalidArgumentError: if the file is refused (see `refusal`), truncated or damaged; `reason` says which.
    """
    return _decoder(max_bytes, max_pixels)(tf.convert_to_tensor(encoded, tf.string))


def decode_each(
    encoded: tf.Tensor,
    then: Callable[[tf.Tensor], tf.Tensor],
    shape: Sequence[int],
    *,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes files in parallel; one that can't be read costs its own row only.

    A graph has no `try`, but tf.data can leave out elements that fail: the files pass through a data set in the graph.

    Args:
      encoded: string [N], the bytes of the files.
      then: maps the pixels, uint8 [H, W, 3], to a tensor of the same shape for all pictures.
      shape: of that tensor, which is float32.
      max_bytes: the largest file that is read.
      max_pixels: the largest height x width that is decoded.

    Returns:
      float32 [N, *shape], zeros in the rows of files that can't be read, and string [N]: empty, or why a file can't be
      read, in the words of `reason`.
    """

    def read(index, file):
        why = refusal(file, max_bytes=max_bytes, max_pixels=max_pixels)
        values = tf.cond(tf.equal(why, ""), lambda: then(_pixels(file)), lambda: tf.zeros(shape))
        return index, tf.ensure_shape(values, shape), why

    count = tf.size(encoded)
    files = tf.data.Dataset.from_tensor_slices((tf.range(count), encoded))
    rows = files.map(tf.autograph.experimental.do_not_convert(read), tf.data.AUTOTUNE).ignore_errors()
    none = (tf.zeros([0], tf.int32), tf.zeros([0, *shape]), tf.zeros([0], tf.string))
    rows = rows.batch(tf.cast(tf.maximum(count, 1), tf.int64))  # all that is left, at once
    places, values, why = rows.reduce(none, lambda _, batch: batch)
    places = places[:, tf.newaxis]
    damaged = tf.where(_starts_with(encoded, _PNG), "truncated or damaged PNG", "truncated or damaged JPEG")
    values = tf.scatter_nd(places, values, tf.concat([[count], shape], 0))
    return tf.ensure_shape(values, [None, *shape]), tf.tensor_scatter_nd_update(damaged, places, why)


def refusal(encoded: tf.Tensor, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS) -> tf.Tensor:
    """Says why a file must not reach a decode op, from its length, first bytes and header.

    Args:
      encoded: scalar string, the bytes of the file.
      max_bytes: the largest file that is read.
      max_pixels: the largest height x width that is decoded.

    Returns:
      Scalar string; empty if the file may be decoded.

    Raises:
      tf.errors.InvalidArgumentError: if a JPEG has no readable header.
    """
    length = tf.strings.length(encoded)
    # Padded, so that no position below lies outside a short file.
    head = tf.strings.join([tf.strings.substr(encoded, 0, 32), b"\0" * 32])
    is_jpeg, is_png = _starts_with(head, _JPEG), _starts_with(head, _PNG)
    is_small = length <= max_bytes

    def jpeg_size():
        return tf.cast(tf.io.extract_jpeg_shape(encoded)[:2], tf.int64)

    def png_size():
        width_height = tf.io.decode_raw(tf.strings.substr(head, 16, 8), tf.int32, little_endian=False)
        return tf.reverse(tf.cast(width_height, tf.int64) % 2**32, [0])  # the file's numbers are unsigned

    size = tf.cond(tf.logical_and(is_jpeg, is_small), jpeg_size, png_size)
    is_wrong_png = tf.logical_and(is_png, tf.logical_or(length < 33, tf.strings.substr(head, 12, 4) != b"IHDR"))

    def explained():
        shown = tf.strings.as_string(size)
        why = tf.constant("")
        for condition, text in (  # the last condition that holds wins
            (has_no_pixels, "a picture without pixels"),
            (has_many_pixels,
             tf.strings.join([shown[0], " x ", shown[1], f" pixels (height x width); at most {max_pixels} are read"])),
            (is_wrong_png, "truncated or damaged PNG"),
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
    wrong = tf.reduce_any([has_no_pixels, has_many_pixels, is_wrong_png, is_other, tf.logical_not(is_small)])
    # Nearly every file is good; the words are made for the others only.
    return tf.cond(wrong, explained, lambda: tf.constant(""))


def reason(error: Exception) -> str:
    """Turns an error of reading or decoding a picture into a few words, such as `truncated or damaged JPEG`."""
    text = str(error)
    gate = re.search(re.escape(_MESSAGE) + r"([^\]'\"\n]*)", text)
    if gate:
        return gate.group(1).strip()
    for pattern, words in (
        (r"Invalid JPEG|jpeg::Uncompress", "truncated or damaged JPEG"),
        (r"Invalid PNG", "truncated or damaged PNG"),
    ):
        if re.search(pattern, text):
            return words
    if isinstance(error, (tf.errors.NotFoundError, FileNotFoundError)):
        return "file not found"
    if isinstance(error, (tf.errors.PermissionDeniedError, PermissionError)):
        return "no permission to read the file"
    if isinstance(error, (tf.errors.FailedPreconditionError, IsADirectoryError)) and "directory" in text:
        return "a folder, not a file"
    return text.strip().split("\n")[0] or type(error).__name__


@functools.cache
def _decoder(max_bytes: int, max_pixels: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns `decode` with its limits as a function that is traced once, however many graphs call it."""

    # Without autograph: it has nothing to convert here and takes a second to see that.
    @tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    def decode(encoded):
        why = refusal(encoded, max_bytes=max_bytes, max_pixels=max_pixels)
        gate = tf.debugging.Assert(tf.equal(why, ""), [tf.strings.join([_MESSAGE, why])])
        # Decode ops are stateless: without an explicit dependency the runtime may start them before the gate.
        with tf.control_dependencies([gate]):
            return _pixels(tf.identity(encoded))

    return decode


def _pixels(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes a file that has passed the gate."""

    def decode_jpeg():
        # The accurate transform is Pillow's; TensorFlow's default differs from it by some grey levels.
        image = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
        return exif.upright(image, exif.orientation(encoded))

    image = tf.cond(_starts_with(encoded, _PNG), lambda: tf.io.decode_png(encoded, channels=3), decode_jpeg)
    return tf.ensure_shape(image, [None, None, 3])


def _starts_with(text: tf.Tensor, magic: bytes) -> tf.Tensor:
    return tf.equal(tf.strings.substr(text, 0, len(magic)), magic)


def _other_format(head: tf.Tensor) -> tf.Tensor:
    """Names the format of a refused file from its padded first bytes; scalar string."""
    offsets, magics, names = zip(*_REFUSED)
    parts = tf.strings.substr(tf.fill([len(magics)], head), offsets, [len(magic) for magic in magics])
    matches = tf.equal(parts, tf.constant(magics))
    texts = tf.constant([f"{name}; only JPEG and PNG are read" for name in names])
    return tf.where(tf.reduce_any(matches), tf.gather(texts, tf.argmax(tf.cast(matches, tf.int32))),
                    "neither JPEG nor PNG")
