"""Decodes JPEG and PNG files from strangers inside the graph: gated, upright, always uint8 [H, W, 3].

Every file passes the gate before a decode op sees it. Only core ops are used: the same functions run in tf.data, in
evaluation and in an exported SavedModel.
"""
from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf

from ornet_tf.data import exif, file_checks

_MESSAGE = "Not a readable image: "
_DAMAGE = (  # what TensorFlow's decode ops say, and our words for it
    (r"Invalid JPEG|jpeg::Uncompress", "truncated or damaged JPEG"),
    (r"Invalid PNG", "truncated or damaged PNG"),
)
NOT_FOUND = "file not found"  # as `reason` puts it


def decode(
    encoded: tf.Tensor, *, max_bytes: int = file_checks.MAX_BYTES, max_pixels: int = file_checks.MAX_PIXELS
) -> tf.Tensor:
    """Decodes a JPEG or PNG file.

    Grey, CMYK, palette and 16-bit images become 8-bit RGB; an alpha channel is dropped. The EXIF orientation of a
    JPEG is applied (that of a PNG is not read), so height and width are those of the upright image.

    Args:
      encoded: scalar string, the bytes of the file.
      max_bytes: the largest file that is read.
      max_pixels: the largest height x width, as the file's header states it, that is decoded.

    Returns:
      uint8 [H, W, 3], RGB.

    Raises:
      tf.errors.InvalidArgumentError: if the file is refused (see `gate.refusal`), truncated or damaged; `reason` says
        which. Inside a graph a JPEG of a kind that is not read, such as 12 bits per channel, counts as damaged.
    """
    encoded = tf.convert_to_tensor(encoded, tf.string)
    with _kind_named(encoded):
        return _decoder(max_bytes, max_pixels)(encoded)


def read_size(encoded: tf.Tensor) -> tf.Tensor:
    """Reads the size of a JPEG or PNG file from its header, after the gate; damage behind the header is not found.

    Args:
      encoded: scalar string, the bytes of the file.

    Returns:
      int64 [2], height and width of the upright image, as `decode` returns it.

    Raises:
      tf.errors.InvalidArgumentError: if the file is refused (see `gate.refusal`); `reason` says why.
    """

    def of_jpeg():
        stored = file_checks.jpeg_size(encoded)
        return tf.where(exif.read_orientation(encoded) > 4, tf.reverse(stored, [0]), stored)

    with _kind_named(encoded):
        check = _assert_passes(encoded, file_checks.MAX_BYTES, file_checks.MAX_PIXELS)
    with tf.control_dependencies([check]):
        encoded = tf.identity(encoded)
    return tf.cond(file_checks.starts_with(encoded, file_checks.JPEG), of_jpeg, lambda: file_checks.png_size(encoded))


def decode_each(
    encoded: tf.Tensor,
    then: Callable[[tf.Tensor], tf.Tensor],
    shape: Sequence[int],
    *,
    max_bytes: int = file_checks.MAX_BYTES,
    max_pixels: int = file_checks.MAX_PIXELS,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes files, some at the same time; one that can't be read costs its own row only.

    Args:
      encoded: string [N], the bytes of the files.
      then: maps the pixels, uint8 [H, W, 3], to a tensor of the same shape for all images.
      shape: of that tensor, which is float32.
      max_bytes: the largest file that is read.
      max_pixels: the largest height x width that is decoded.

    Returns:
      float32 [N, *shape], zeros in the rows of files that can't be read, and string [N]: empty, or why a file can't be
      read, in the words of `reason`.
    """

    def read(file):
        def size(file):
            return _attempt(file_checks.jpeg_size, file, tf.constant([-1, -1], tf.int64))

        def decoded():
            pixels = _attempt(_stored, file, tf.zeros([0, 0, 3], tf.uint8))
            return tf.cond(
                tf.size(pixels) > 0,
                lambda: (then(_upright(pixels, file)), ""),
                lambda: (nothing, file_checks.damaged(file)),
            )

        nothing = tf.zeros(shape)
        why = file_checks.refusal(file, max_bytes=max_bytes, max_pixels=max_pixels, read_jpeg_size=size)
        return tf.cond(tf.equal(why, ""), decoded, lambda: (nothing, why))

    return tf.map_fn(
        tf.autograph.experimental.do_not_convert(read),
        encoded,
        fn_output_signature=(tf.TensorSpec(shape, tf.float32), tf.TensorSpec([], tf.string)),
    )


def is_refusal(error: Exception) -> bool:
    """Returns whether an error says that an image can't be used: refused by the gate, truncated or damaged."""
    return re.search(f"{re.escape(_MESSAGE)}|{'|'.join(pattern for pattern, _ in _DAMAGE)}", str(error)) is not None


def refusal_reason(error: Exception) -> str:
    """Turns an error of reading or decoding an image into a few words, such as `truncated or damaged JPEG`."""
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
def _decoder(max_bytes: int, max_pixels: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns `decode` with its limits as a function that is traced once, however many graphs call it."""

    # Without autograph: it has nothing to convert here and takes a second to see that.
    @tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    def decode(encoded):
        check = _assert_passes(encoded, max_bytes, max_pixels)
        # Decode ops are stateless: without an explicit dependency the runtime may start them before the gate.
        with tf.control_dependencies([check]):
            encoded = tf.identity(encoded)
        return _upright(_stored(encoded), encoded)

    return decode


@contextlib.contextmanager
def _kind_named(encoded: tf.Tensor) -> Iterator[None]:
    """Replaces a decode op's error by one that says of what kind the file is; a graph can't do that without a cost."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        if not any(re.search(pattern, str(error)) for pattern, _ in _DAMAGE):
            raise
        why = _MESSAGE + file_checks.damaged(encoded).numpy().decode()
        raise tf.errors.InvalidArgumentError(error.node_def, error.op, why) from error


def _assert_passes(encoded: tf.Tensor, max_bytes: int, max_pixels: int) -> tf.Operation:
    """Returns the operation that fails, with the reason, for a file that the gate refuses."""
    why = file_checks.refusal(encoded, max_bytes=max_bytes, max_pixels=max_pixels)
    return tf.debugging.Assert(tf.equal(why, ""), [tf.strings.join([_MESSAGE, why])])


def _stored(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes a JPEG or PNG file that has passed the gate, as it is stored."""
    # This op opens PNG files as well. The accurate transform is Pillow's; TensorFlow's default differs from it by some
    # grey levels.
    return tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")


def _upright(pixels: tf.Tensor, encoded: tf.Tensor) -> tf.Tensor:
    def turned():
        return exif.turn_upright(pixels, exif.read_orientation(encoded))

    image = tf.cond(file_checks.starts_with(encoded, file_checks.JPEG), turned, lambda: pixels)
    return tf.ensure_shape(image, [None, None, 3])


def _attempt(function: Callable[[tf.Tensor], tf.Tensor], file: tf.Tensor, instead: tf.Tensor) -> tf.Tensor:
    """Computes `function(file)`, or `instead` where that fails.

    A graph has no `try`, but a data set can leave out elements that fail. The runtime prepares `function` anew in each
    call: one operation takes a tenth of a millisecond, a whole graph of decoding and resizing a hundred of them.
    """
    rows = tf.data.Dataset.from_tensors(file).map(tf.autograph.experimental.do_not_convert(function)).ignore_errors()
    return rows.concatenate(tf.data.Dataset.from_tensors(instead)).take(1).get_single_element()
