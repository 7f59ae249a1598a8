"""Decodes JPEG and PNG files from strangers inside the graph: gated, upright, always uint8 [H, W, 3].

TensorFlow's decode ops are one kernel that looks at the first bytes and also opens GIF, WebP, BMP and JPEG XL, some of
them without any limit on memory. So every file passes a gate before a decode op sees it. Only core ops are used: the
same functions run in tf.data, in evaluation and in an exported SavedModel.
"""
from __future__ import annotations

import re

import tensorflow as tf

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
# A camera writes about ten segments before the picture data; a colour profile can add some dozens.
_MAX_SEGMENTS = 256
_ORIENTATION_TAG = 0x0112
_SHORT, _LONG = 3, 4


@tf.autograph.experimental.do_not_convert
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
    encoded = tf.convert_to_tensor(encoded, tf.string)
    why = refusal(encoded, max_bytes=max_bytes, max_pixels=max_pixels)
    gate = tf.debugging.Assert(tf.equal(why, ""), [tf.strings.join([_MESSAGE, why])])
    # Decode ops are stateless: without an explicit dependency the runtime may start them before the gate.
    with tf.control_dependencies([gate]):
        encoded = tf.identity(encoded)

    def decode_jpeg():
        # The accurate transform is libjpeg's default and so Pillow's; TensorFlow's default differs by some grey levels.
        image = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
        return upright(image, orientation(encoded))

    image = tf.cond(_starts_with(encoded, _PNG), lambda: tf.io.decode_png(encoded, channels=3), decode_jpeg)
    return tf.ensure_shape(image, [None, None, 3])


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
        header = tf.cast(tf.io.decode_raw(tf.strings.substr(head, 16, 8), tf.uint8), tf.int64)
        return tf.reverse(_number(tf.reshape(header, [2, 4]), False), [0])

    size = tf.cond(tf.logical_and(is_jpeg, is_small), jpeg_size, png_size)
    is_wrong_png = tf.logical_and(is_png, tf.logical_or(length < 33, tf.strings.substr(head, 12, 4) != b"IHDR"))
    shown = tf.strings.as_string(size)
    why = tf.constant("")
    for condition, text in (  # the last condition that holds wins
        (tf.reduce_min(size) < 1, "a picture without pixels"),
        # Compared as a quotient: the product of two sizes from a forged header can overflow.
        (size[0] > max_pixels // tf.maximum(size[1], 1),
         tf.strings.join([shown[0], " x ", shown[1], f" pixels (height x width); at most {max_pixels} are read"])),
        (is_wrong_png, "truncated or damaged PNG"),
        (tf.logical_not(tf.logical_or(is_jpeg, is_png)), _other_format(head)),
        (tf.logical_not(is_small),
         tf.strings.join([tf.strings.as_string(length), f" bytes; at most {max_bytes} are read"])),
        (tf.equal(length, 0), "an empty file"),
    ):
        why = tf.where(condition, text, why)
    return why


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


def orientation(encoded: tf.Tensor) -> tf.Tensor:
    """Reads the EXIF orientation of a JPEG file.

    Args:
      encoded: scalar string, the bytes of the file.

    Returns:
      Scalar int32 in 1..8; 1 (upright) if the file states none or states it in a malformed way.
    """
    start, length = _exif_segment(encoded)
    return tf.cond(length > 0, lambda: _tiff_orientation(tf.strings.substr(encoded, start, length)),
                   lambda: tf.constant(1))


def upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Undoes an EXIF orientation.

    Args:
      image: [H, W, 3] as stored.
      orientation: scalar int32 in 1..8.

    Returns:
      [H, W, 3], or [W, H, 3] for orientations 5..8.
    """
    # 1..4 are no flip, left-right, both, up-down; 5..8 are the same after a transposition.
    image = tf.cond(orientation > 4, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
    flips = (orientation - 1) % 4
    return tf.reverse(image, tf.boolean_mask([0, 1], tf.stack([flips >= 2, tf.logical_or(flips == 1, flips == 2)])))


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


def _number(digits: tf.Tensor, little_endian: bool | tf.Tensor) -> tf.Tensor:
    """Reads int64 [..., n] bytes as unsigned numbers, int64 [...]."""
    weights = tf.constant([256 ** i for i in range(digits.shape[-1])], tf.int64)
    return tf.reduce_sum(digits * tf.where(little_endian, weights, weights[::-1]), axis=-1)


def _exif_segment(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Walks the segments of a JPEG; scalar int32 start and length of the EXIF data, length 0 if there is none."""
    size = tf.strings.length(encoded)

    def walk(at, start, length):
        segment = tf.cast(tf.io.decode_raw(tf.strings.substr(encoded, at, 4), tf.uint8), tf.int32)
        marker, span = segment[1], 2 + segment[2] * 256 + segment[3]
        is_fill = tf.equal(marker, 0xFF)
        is_alone = tf.logical_or(tf.equal(marker, 0x01), tf.equal(marker // 8, 0xD0 // 8))
        is_exif = tf.logical_and(tf.equal(marker, 0xE1), tf.equal(tf.strings.substr(encoded, at + 4, 6), b"Exif\0\0"))
        is_last = tf.reduce_any([segment[0] != 0xFF, marker == 0, marker == 0xD9, marker == 0xDA, is_exif, span < 4])
        step = tf.where(is_fill, 1, tf.where(is_alone, 2, span))
        return (tf.where(tf.logical_and(is_last, tf.logical_not(tf.logical_or(is_fill, is_alone))), size, at + step),
                tf.where(is_exif, at + 10, start), tf.where(is_exif, tf.maximum(span - 10, 0), length))

    _, start, length = tf.while_loop(
        lambda at, start, length: at + 10 <= size, walk, (tf.constant(2), tf.constant(0), tf.constant(0)),
        maximum_iterations=_MAX_SEGMENTS, parallel_iterations=1)
    return start, length


def _tiff_orientation(exif: tf.Tensor) -> tf.Tensor:
    """Reads the orientation from the first directory of EXIF data (a TIFF structure); scalar int32 in 1..8."""
    data = tf.cast(tf.io.decode_raw(exif, tf.uint8), tf.int64)
    size = tf.size(data, tf.int64)
    data = tf.concat([data, tf.zeros([16], tf.int64)], 0)  # padded: every read below stays inside, whatever is stated
    little = tf.equal(tf.strings.substr(exif, 0, 2), b"II")

    def number(at, digits):
        return _number(tf.ensure_shape(data[at:at + digits], [digits]), little)

    first = tf.minimum(number(4, 4), size)
    room = tf.minimum(number(first, 2), (size - tf.minimum(first + 2, size)) // 12)
    entries = tf.reshape(data[first + 2:first + 2 + 12 * room], [room, 12])
    kind = _number(entries[:, 2:4], little)
    value = tf.where(tf.equal(kind, _LONG), _number(entries[:, 8:12], little), _number(entries[:, 8:10], little))
    found = tf.logical_and(tf.equal(_number(entries[:, :2], little), _ORIENTATION_TAG),
                           tf.logical_or(tf.equal(kind, _SHORT), tf.equal(kind, _LONG)))
    value = tf.concat([tf.boolean_mask(value, found), [1]], 0)[0]
    is_valid = tf.reduce_all([tf.equal(number(2, 2), 42), tf.logical_or(little, _starts_with(exif, b"MM")),
                              value >= 1, value <= 8])
    return tf.where(is_valid, tf.cast(value, tf.int32), 1)
