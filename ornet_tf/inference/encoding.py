"""Encodes a caller's image (path, bytes or pixels) as the bytes of an image file, the input of an exported model."""
from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterable

import numpy as np
from PIL import Image

from ornet_tf.paths import readable

ImageInput = str | os.PathLike | bytes | np.ndarray


def check_is_list(images: Iterable[ImageInput]) -> None:
    """Raises TypeError if `images` is a single image instead of a list of images."""
    is_array = isinstance(images, np.ndarray) and images.ndim <= 3
    if is_array or isinstance(images, (str, bytes, os.PathLike)):
        kind = type(images).__name__
        raise TypeError(f"Expected a list of images, but got one ({kind}); put it into a list: localize([image]).")


def encode(image: ImageInput, *, max_bytes: int | None = None) -> bytes:
    """Returns the bytes of an image file.

    Args:
      image: the path of a JPEG or PNG file; the bytes of such a file; or pixels, RGB uint8 [H, W, 3]. Pixels become a
        PNG, so the model gets the same pixels through every signature and protocol.
      max_bytes: a larger file is not read and raises OSError; None for no limit.

    Raises:
      OSError: if the file cannot be read (FileNotFoundError, PermissionError and so on) or is too large.
      TypeError: if `image` has another type, or the pixels are not uint8.
      ValueError: if the pixels have another shape.
    """
    if isinstance(image, bytes):
        return image
    if isinstance(image, (str, os.PathLike)):
        try:
            with open(image, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                if max_bytes is not None and size > max_bytes:
                    raise OSError(errno.EFBIG, f"it has {size} bytes, and at most {max_bytes} are read")
                return file.read()
        except OSError as error:
            raise type(error)(f"Cannot read {readable(image)}: {error.strerror}.") from None
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        got = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
        raise TypeError(f"Expected a path, bytes or uint8 pixels of an image, but got {got}; convert it first.")
    if image.ndim != 3 or image.shape[-1] != 3 or not image.size:
        raise ValueError(f"Expected the pixels of an image as [H, W, 3], but got {list(image.shape)}.")
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", compress_level=1)  # fast: the file is sent once and not stored
    return file.getvalue()


def encoded_size(image: ImageInput) -> int:
    """Returns an approximate upper bound of the bytes that `encode` returns; 0 if the file cannot be found."""
    if isinstance(image, (str, os.PathLike)):
        try:
            return os.stat(image).st_size
        except OSError:  # `encode` raises this error
            return 0
    return getattr(image, "nbytes", 0) or (len(image) if isinstance(image, bytes) else 0)
