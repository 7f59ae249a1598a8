"""Pictures as callers have them, made the bytes of a file: what an exported model takes."""
from __future__ import annotations

import io
import os
import pathlib
from collections.abc import Iterable

import numpy as np
from PIL import Image

from ornet_tf.paths import readable

ImageInput = str | os.PathLike | bytes | np.ndarray


def check_is_list(pictures: Iterable[ImageInput]) -> None:
    """Raises TypeError if what should be a list of pictures is one picture: the letters of its path are none."""
    is_array = isinstance(pictures, np.ndarray) and pictures.ndim <= 3
    if is_array or isinstance(pictures, (str, bytes, os.PathLike)):
        kind = type(pictures).__name__
        raise TypeError(f"Expected a list of pictures, but got one ({kind}); put it into a list: localize([picture]).")


def encode(picture: ImageInput) -> bytes:
    """Returns the bytes of a picture file.

    Args:
      picture: the path of a JPEG or PNG file; the bytes of one; or its pixels, RGB uint8 [H, W, 3], which become a PNG:
        the model sees the same pixels, whatever signature is asked and over whatever metric.

    Raises:
      OSError: if the file cannot be read (FileNotFoundError, PermissionError and so on).
      TypeError: if it is something else, or the pixels are not uint8.
      ValueError: if the pixels have another shape.
    """
    if isinstance(picture, bytes):
        return picture
    if isinstance(picture, (str, os.PathLike)):
        try:
            return pathlib.Path(picture).read_bytes()
        except OSError as error:
            raise type(error)(f"Cannot read {readable(picture)}: {error.strerror}.") from None
    if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8:
        got = picture.dtype if isinstance(picture, np.ndarray) else type(picture).__name__
        raise TypeError(f"Expected a path, bytes or uint8 pixels of a picture, but got {got}; convert it first.")
    if picture.ndim != 3 or picture.shape[-1] != 3 or not picture.size:
        raise ValueError(f"Expected the pixels of a picture as [H, W, 3], but got {list(picture.shape)}.")
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", compress_level=1)  # of no use but to travel
    return file.getvalue()


def encoded_size(picture: ImageInput) -> int:
    """Returns about how many bytes `encode` will give at most; 0 where a file cannot be found."""
    if isinstance(picture, (str, os.PathLike)):
        try:
            return os.stat(picture).st_size
        except OSError:  # `encode` says it, when its turn comes
            return 0
    return getattr(picture, "nbytes", 0) or (len(picture) if isinstance(picture, bytes) else 0)
