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
)
NOT_FOUND = "file not found"  # returned by `refusal_reason`
_RATIOS = (1, 2, 4, 8)  # a JPEG is decoded at 1/ratio of its size; libjpeg has short transforms for these
# An image that is decoded at a fraction of its size is at least so many times as large as the resized image. With 2, a
# pixel of an enlarged photograph, resized from 12 megapixels to 256 x 256, changes by 0.1 grey levels; with 1, by 0.4.
_MARGIN = 2


def decode(
    encoded: tf.Tensor,
    *,
    target_side: int = 0,
    max_bytes: int = file_checks.MAX_BYTES,
    max_pixels: int = file_checks.MAX_PIXELS,
) -> tf.Tensor:
    """Decodes a JPEG or PNG file.

    Grey, CMYK, palette and 16-bit images become 8-bit RGB; an alpha channel is dropped. The EXIF orientation of a
    JPEG is applied (that of a PNG is not read), so height and width are those of the upright image.

    Args:
      encoded: scalar string, the bytes of the file.
      target_side: the side in pixels to which the image will be resized; 0 decodes the whole image. A large JPEG is
        decoded at 1/2, 1/4 or 1/8 of its size: the smallest of them that divides both sides, so that no part of a pixel
        is cut off, and leaves them at least twice as long as `target_side`. `read_size` returns the size of the whole.
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
        return _decoder(max_bytes, max_pixels, target_side)(encoded)


def read_size(encoded: tf.Tensor) -> tf.Tensor:
    """Checks a JPEG or PNG file and reads its size from the header; damage behind the header is not found.

    Args:
      encoded: scalar string, the bytes of the file.

    Returns:
      int64 [2], height and width of the whole upright image.

    Raises:
      tf.errors.InvalidArgumentError: if the file is refused (see `file_checks.refusal`); `refusal_reason` returns the
        reason.
    """

    def jpeg_size():
        stored = file_checks.jpeg_size(encoded)
        return tf.where(exif.read_orientation(encoded) > 4, tf.reverse(stored, [0]), stored)

    with _explain_damage(encoded):
        check = _assert_accepted(encoded, file_checks.MAX_BYTES, file_checks.MAX_PIXELS)
    with tf.control_dependencies([check]):
        encoded = tf.identity(encoded)
    return tf.cond(file_checks.starts_with(encoded, file_checks.JPEG), jpeg_size, lambda: file_checks.png_size(encoded))


def decode_each(
    encoded: tf.Tensor,
    then: Callable[[tf.Tensor], tf.Tensor],
    shape: Sequence[int],
    *,
    target_side: int = 0,
    max_bytes: int = file_checks.MAX_BYTES,
    max_pixels: int = file_checks.MAX_PIXELS,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes several files in parallel; a file that can't be decoded affects no other file.

    Args:
      encoded: string [N], the bytes of the files.
      then: maps the pixels, uint8 [H, W, 3], to a tensor of the same shape for all images.
      shape: the shape of the output of `then`, which is float32.
      target_side: see `decode`.
      max_bytes: the largest file size that is accepted.
      max_pixels: the largest height x width that is accepted.

    Returns:
      float32 [N, *shape], zeros in the rows of files that can't be decoded; and string [N], empty or the reason, as
      `refusal_reason` returns it.
    """

    def attempt(file, ratio):
        return _attempt(functools.partial(_decode_stored, ratio=ratio), file, tf.zeros([0, 0, 3], tf.uint8))

    def read(file):
        def jpeg_size(file):
            return _attempt(file_checks.jpeg_size, file, tf.constant([-1, -1], tf.int64))

        def decode_file():
            pixels = _decode_scaled(file, target_side, attempt)
            return tf.cond(
                tf.size(pixels) > 0,
                lambda: (then(_turn_upright(pixels, file)), ""),
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
    refused = re.search(re.escape(_MESSAGE) + r"([^\]'\"\n]*)", text)
    if refused:
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
def _decoder(max_bytes: int, max_pixels: int, target_side: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns `decode` with these limits as a function that is traced once for all graphs that call it."""

    # Without AutoGraph, which would search for a second and find nothing to convert.
    @tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    def decode(encoded):
        check = _assert_accepted(encoded, max_bytes, max_pixels)
        # Decode ops are stateless: without this dependency the runtime may start them before the check.
        with tf.control_dependencies([check]):
            encoded = tf.identity(encoded)
        return _turn_upright(_decode_scaled(encoded, target_side, _decode_stored), encoded)

    return decode


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


def _assert_accepted(encoded: tf.Tensor, max_bytes: int, max_pixels: int) -> tf.Operation:
    """Returns the operation that fails, with the reason, for a file that is refused."""
    reason = file_checks.refusal(encoded, max_bytes=max_bytes, max_pixels=max_pixels)
    return tf.debugging.Assert(tf.equal(reason, ""), [tf.strings.join([_MESSAGE, reason])])


def _decode_scaled(
    encoded: tf.Tensor, target_side: int, decode_at: Callable[[tf.Tensor, int], tf.Tensor]
) -> tf.Tensor:
    """Returns `decode_at(encoded, ratio)` of an accepted file with the ratio that suits `target_side`, see `decode`."""

    def count_halvings():
        size, ratios = file_checks.jpeg_size(encoded), tf.constant(_RATIOS[1:], tf.int64)[:, tf.newaxis]
        is_possible = tf.logical_and(tf.equal(size % ratios, 0), size >= _MARGIN * target_side * ratios)
        return tf.reduce_sum(tf.cast(tf.reduce_all(is_possible, axis=1), tf.int32))

    if not target_side:
        return decode_at(encoded, 1)
    halvings = tf.cond(file_checks.starts_with(encoded, file_checks.JPEG), count_halvings, lambda: tf.constant(0))
    return tf.switch_case(halvings, [functools.partial(decode_at, encoded, ratio) for ratio in _RATIOS])


def _decode_stored(encoded: tf.Tensor, ratio: int) -> tf.Tensor:
    """Decodes an accepted JPEG or PNG file, a JPEG at 1/ratio of its size, without applying its orientation."""
    # This op opens PNG files as well. Pillow, too, uses the accurate transform; TensorFlow's default differs from it by
    # some grey levels.
    return tf.io.decode_jpeg(encoded, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE")


def _turn_upright(pixels: tf.Tensor, encoded: tf.Tensor) -> tf.Tensor:
    def turn():
        return exif.turn_upright(pixels, exif.read_orientation(encoded))

    image = tf.cond(file_checks.starts_with(encoded, file_checks.JPEG), turn, lambda: pixels)
    return tf.ensure_shape(image, [None, None, 3])


def _attempt(function: Callable[[tf.Tensor], tf.Tensor], file: tf.Tensor, default: tf.Tensor) -> tf.Tensor:
    """Computes `function(file)`, or returns `default` if that fails.

    A graph has no `try`, but a tf.data.Dataset can skip elements that fail. The runtime instantiates `function` in
    every call. For one operation this takes 0.1 ms, for a graph that decodes and resizes 10 ms: keep `function` small.
    """
    rows = tf.data.Dataset.from_tensors(file).map(tf.autograph.experimental.do_not_convert(function)).ignore_errors()
    return rows.concatenate(tf.data.Dataset.from_tensors(default)).take(1).get_single_element()
