"""Decodes untrusted JPEG and PNG files inside the graph to upright images, uint8 [H, W, 3].

Every file passes the checks of `file_checks` before a decode op reads it. Only core ops are used, so the same functions
run in tf.data, in evaluation and in an exported SavedModel.
"""
from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf

from ornet_tf.data import exif, file_checks

_MESSAGE = "Not a readable image: "
_DAMAGE = (  # error messages of TensorFlow's decode ops, and ours
    (r"Invalid JPEG|jpeg::Uncompress", "truncated or damaged JPEG"),
    (r"Invalid PNG", "truncated or damaged PNG"),
    (r"(corrupted|truncated) record at|Dataset was empty", "damaged record of a shard"),  # of `records.reader`
)
NOT_FOUND = "file not found"  # returned by `refusal_reason`
_RATIOS = (1, 2, 4, 8)  # a JPEG is decoded at 1/ratio of its size; libjpeg has short transforms for these
# Decoded at a fraction, an image stays at least so many times as large as the resized one. When photographs of 12
# megapixels are resized to 256 x 256, this changes their pixels by 0.14 grey levels in the mean; 1 would by 0.41.
_MARGIN = 2
_Pair = tuple[tf.Tensor, tf.Tensor]


def decode(
    encoded: tf.Tensor, *, max_bytes: int = file_checks.MAX_BYTES, max_pixels: int = file_checks.MAX_PIXELS
) -> tf.Tensor:
    """Decodes a JPEG or PNG file.

    Grey, CMYK, palette and 16-bit images become 8-bit RGB; an alpha channel is dropped. The EXIF orientation of a
    JPEG is applied (that of a PNG is not read), so height and width are those of the upright image.

    Args:
      encoded: scalar string, the bytes of the file.
      max_bytes: the largest file size that is accepted.
      max_pixels: the largest height x width in the file's header that is accepted.

    Returns:
      uint8 [H, W, 3], RGB.

    Raises:
      tf.errors.InvalidArgumentError: if the file is refused (see `file_checks.refusal`), truncated or damaged;
        `refusal_reason` returns the reason. Inside a graph, a JPEG of an unsupported kind, such as 12 bits per channel,
        is reported as damaged.
    """
    encoded = tf.convert_to_tensor(encoded, tf.string)
    with _explain_damage(encoded):
        return _decoder(None, max_bytes=max_bytes, max_pixels=max_pixels)(encoded)[0]


def decode_scaled(encoded: tf.Tensor, *, target_side: int, **limits: int) -> _Pair:
    """Decodes a file as `decode` does, with the same errors, but a large JPEG at 1/2, 1/4 or 1/8 of its size.

    Args:
      encoded: scalar string, the bytes of the file.
      target_side: the side in pixels to which the image will be resized. A JPEG is decoded at the smallest of these
        fractions at which both sides are at least twice as long.
      **limits: `max_bytes` and `max_pixels` of `decode`.

    Returns:
      uint8 [H, W, 3], RGB, with sides that are rounded up; and float32 [4], the frame: top, left, height and width of
      the image within these pixels, of which those at two edges may lie partly beyond it. (0, 0, H, W) if the whole
      image is decoded.
    """
    encoded = tf.convert_to_tensor(encoded, tf.string)
    with _explain_damage(encoded):
        return _decoder(target_side, **limits)(encoded)


def read_size(encoded: tf.Tensor) -> tf.Tensor:
    """Checks a JPEG or PNG file and reads its size from the header; damage behind the header is not found.

    Args:
      encoded: scalar string, the bytes of the file.

    Returns:
      int64 [2], height and width of the upright image, as `decode` returns it.

    Raises:
      tf.errors.InvalidArgumentError: if the file is refused (see `file_checks.refusal`); `refusal_reason` returns the
        reason.
    """
    with _explain_damage(encoded):
        return _read_size(encoded)


def decode_each(
    encoded: tf.Tensor,
    then: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    shape: Sequence[int],
    *,
    target_side: int,
    max_bytes: int = file_checks.MAX_BYTES,
    max_pixels: int = file_checks.MAX_PIXELS,
) -> _Pair:
    """Decodes several files in parallel; a file that can't be decoded affects no other file.

    Args:
      encoded: string [N], the bytes of the files.
      then: maps pixels and frame, as `decode_scaled` returns them, to a tensor of the same shape for all images.
      shape: the shape of the output of `then`, which is float32.
      target_side: see `decode_scaled`.
      max_bytes: the largest file size that is accepted.
      max_pixels: the largest height x width that is accepted.

    Returns:
      float32 [N, *shape], zeros in the rows of files that can't be decoded; and string [N], empty or the reason, as
      `refusal_reason` returns it.
    """

    def attempt(file, ratio):
        return _attempt(functools.partial(_decode_at, ratio=ratio), file, tf.zeros([0, 0, 3], tf.uint8))

    def read(file):
        def jpeg_size(file):
            return _attempt(file_checks.jpeg_size, file, tf.constant([-1, -1], tf.int64))

        def decode_file():
            pixels, ratio = _decode_stored(file, target_side, attempt)
            return tf.cond(
                tf.size(pixels) > 0,
                lambda: (then(*_turn_upright(pixels, ratio, file)), ""),
                lambda: (zeros, file_checks.describe_damage(file)),
            )

        zeros = tf.zeros(shape)
        reason = file_checks.refusal(file, max_bytes=max_bytes, max_pixels=max_pixels, read_jpeg_size=jpeg_size)
        return tf.cond(tf.equal(reason, ""), decode_file, lambda: (zeros, reason))

    return tf.map_fn(
        tf.autograph.experimental.do_not_convert(read),
        encoded,
        fn_output_signature=(tf.TensorSpec(shape, tf.float32), tf.TensorSpec([], tf.string)),
    )


def is_refusal(error: Exception) -> bool:
    """Returns whether an error means that an image was refused by the checks, is truncated or is damaged."""
    return re.search(f"{re.escape(_MESSAGE)}|{'|'.join(pattern for pattern, _ in _DAMAGE)}", str(error)) is not None


def refusal_reason(error: Exception) -> str:
    """Returns in a few words why reading or decoding an image failed, such as `truncated or damaged JPEG`."""
    text = str(error)
    if refused := re.search(re.escape(_MESSAGE) + r"([^\]'\"\n]*)", text):
        return refused.group(1).strip()
    for pattern, words in _DAMAGE:
        if re.search(pattern, text):
            return words
    if isinstance(error, (tf.errors.NotFoundError, FileNotFoundError)):
        return NOT_FOUND
    if isinstance(error, (tf.errors.PermissionDeniedError, PermissionError)):
        return "no permission to read the file"
    if isinstance(error, (tf.errors.FailedPreconditionError, IsADirectoryError)) and "directory" in text:
        return "a folder, not a file"
    return text.strip().split("\n")[0] or type(error).__name__


@functools.cache
def _decoder(target_side: int | None, **limits: int) -> Callable[[tf.Tensor], _Pair]:
    """Returns `decode_scaled` with these limits as a function that is traced once for all graphs that call it."""

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    def decode(encoded):
        encoded = _accepted(encoded, **limits)
        return _turn_upright(*_decode_stored(encoded, target_side, _decode_at), encoded)

    return decode


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def _read_size(encoded: tf.Tensor) -> tf.Tensor:
    def jpeg_size():
        stored = file_checks.jpeg_size(encoded)
        return tf.where(exif.read_orientation(encoded) > 4, tf.reverse(stored, [0]), stored)

    encoded = _accepted(encoded)
    return tf.cond(file_checks.starts_with(encoded, file_checks.JPEG), jpeg_size, lambda: file_checks.png_size(encoded))


@contextlib.contextmanager
def _explain_damage(encoded: tf.Tensor) -> Iterator[None]:
    """Replaces the error of a decode op by one that names the kind of the file; in a graph, this would cost time."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        if not any(re.search(pattern, str(error)) for pattern, _ in _DAMAGE):
            raise
        message = _MESSAGE + file_checks.describe_damage(encoded).numpy().decode()
        raise tf.errors.InvalidArgumentError(error.node_def, error.op, message) from error


def _accepted(encoded: tf.Tensor, **limits: int) -> tf.Tensor:
    """Returns the file; fails, with the reason, if it is refused."""
    reason = file_checks.refusal(encoded, **limits)
    check = tf.debugging.Assert(tf.equal(reason, ""), [tf.strings.join([_MESSAGE, reason])])
    # Decode ops are stateless: without this dependency the runtime may start them before the check.
    with tf.control_dependencies([check]):
        return tf.identity(encoded)


def _decode_stored(encoded: tf.Tensor, target_side: int | None, decode_at: Callable[[tf.Tensor, int], tf.Tensor]):
    """Returns `decode_at(encoded, ratio)` of an accepted file, and the ratio: 1 if `target_side` is None."""

    def count_halvings():
        sides = tf.reduce_min(file_checks.jpeg_size(encoded)) // tf.constant(_RATIOS[1:], tf.int64)
        return tf.math.count_nonzero(sides >= _MARGIN * target_side, dtype=tf.int32)

    if target_side is None:
        return decode_at(encoded, 1), tf.constant(1)
    halvings = tf.cond(file_checks.starts_with(encoded, file_checks.JPEG), count_halvings, lambda: tf.constant(0))
    pixels = tf.switch_case(halvings, [functools.partial(decode_at, encoded, ratio) for ratio in _RATIOS])
    return pixels, tf.gather(_RATIOS, halvings)


def _decode_at(encoded: tf.Tensor, ratio: int) -> tf.Tensor:
    """Decodes an accepted JPEG at 1/ratio of its size, or a PNG, without applying its orientation."""
    # This op opens PNG files as well. Pillow, too, uses the accurate transform; TensorFlow's default differs from it by
    # some grey levels.
    return tf.io.decode_jpeg(encoded, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE")


def _turn_upright(pixels: tf.Tensor, ratio: tf.Tensor, encoded: tf.Tensor) -> _Pair:
    """Returns upright pixels and the frame, see `decode_scaled`, from stored pixels at 1/ratio of the size."""
    sides = tf.cast(tf.shape(pixels)[:2], tf.float32)

    def turn():
        orientation = exif.read_orientation(encoded)
        extent = tf.cast(file_checks.jpeg_size(encoded), tf.float32) / tf.cast(ratio, tf.float32)
        return exif.turn_upright(pixels, orientation), exif.upright_frame(extent, sides, orientation)

    is_jpeg = file_checks.starts_with(encoded, file_checks.JPEG)
    image, frame = tf.cond(is_jpeg, turn, lambda: (pixels, tf.concat([[0.0, 0.0], sides], 0)))
    return tf.ensure_shape(image, [None, None, 3]), frame


def _attempt(function: Callable[[tf.Tensor], tf.Tensor], file: tf.Tensor, default: tf.Tensor) -> tf.Tensor:
    """Computes `function(file)`, or returns `default` if that fails.

    A graph has no `try`, but a tf.data.Dataset can skip elements that fail. The runtime instantiates `function` in
    every call. For one operation this takes 0.1 ms, for a graph that decodes and resizes 10 ms: keep `function` small.
    """
    rows = tf.data.Dataset.from_tensors(file).map(tf.autograph.experimental.do_not_convert(function)).ignore_errors()
    return rows.concatenate(tf.data.Dataset.from_tensors(default)).take(1).get_single_element()
