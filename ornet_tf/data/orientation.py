"""Reads and undoes the EXIF orientation of JPEG files without TensorFlow, by the same rules as `exif` in the graph.

The orientation is the first entry with its tag in the first directory of the first EXIF segment. Other places (XMP, a
second segment, the eXIf chunk of a PNG) are not read.
"""
from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from PIL import Image

# A camera writes about ten segments before the image data; a colour profile can add some dozens.
MAX_SEGMENTS = 256
START, APP1, END, IMAGE_DATA = 0xD8, 0xE1, 0xD9, 0xDA  # markers
NAME = b"Exif\0\0"
TAG = 0x0112
SHORT, LONG = 3, 4

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,  # counted against the clock
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_orientation(file: BinaryIO) -> int:
    """Reads the EXIF orientation of an image file from its first bytes.

    Args:
      file: the file, at its start.

    Returns:
      1..8; 1 (upright) if the file is no JPEG, or its orientation is missing or malformed.

    Raises:
      OSError: if the file can't be read.
    """
    for marker, span, content in _segments(file):
        if marker == APP1 and content == NAME:
            return _tiff_orientation(file.read(max(span - 10, 0)))
    return 1


def read_stored_size(file: BinaryIO) -> tuple[int, int] | None:
    """Reads the height and width of the stored image from the first bytes of a JPEG file; None if it has no size.

    Unlike Pillow, it accepts any size, and files with damaged tables.

    Args:
      file: the file, at its start.

    Raises:
      OSError: if the file can't be read.
    """
    for marker, _, content in _segments(file):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a frame: its precision, height, width
            height, width = struct.unpack_from(">HH", content, 1)
            return (height, width) if height and width else None
    return None


def _segments(file: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
    """Yields the marker, the length with marker, and the first 6 bytes of content of each segment of a JPEG file.

    After each yield, the position of the file is behind these 6 bytes. The iteration ends at the image data, or where
    the file is malformed.
    """
    if file.read(2) != bytes([0xFF, START]):
        return
    at = 2
    for _ in range(MAX_SEGMENTS):
        file.seek(at)
        segment = file.read(10)
        if len(segment) < 10 or segment[0] != 0xFF:
            return
        marker, span = segment[1], 2 + int.from_bytes(segment[2:4], "big")
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD7:  # no length follows
            at += 2
        elif marker in (0, END, IMAGE_DATA) or span < 4:
            return
        else:
            yield marker, span, segment[4:]
            at += span


def _tiff_orientation(data: bytes) -> int:
    """Reads the orientation from the first directory of EXIF data (a TIFF structure)."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        return 1
    size = len(data)
    padded = data + bytes(16)  # so that every read below stays inside
    first = min(*struct.unpack_from(f"{order}I", padded, 4), size)
    (stated,) = struct.unpack_from(f"{order}H", padded, first)
    start = first + 2
    for at in range(start, start + 12 * min(stated, max(size - start, 0) // 12), 12):
        tag, kind = struct.unpack_from(f"{order}HH", padded, at)
        if tag == TAG and kind in (SHORT, LONG):
            (value,) = struct.unpack_from(order + ("H" if kind == SHORT else "I"), padded, at + 8)
            return value if 1 <= value <= 8 else 1
    return 1


def turn_upright(image: Image.Image, orientation: int) -> Image.Image:
    """Undoes an orientation, 1..8; returns the same object if the image is upright."""
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def turn_boxes_upright(boxes: np.ndarray, orientation: int, *, height: float, width: float) -> np.ndarray:
    """Converts boxes of the stored image to boxes of the upright image.

    Args:
      boxes: floating point [M, 4] (ymin, xmin, ymax, xmax), half-open, in the frame of the stored image.
      orientation: 1..8.
      height: height of the stored image, in the unit of the boxes.
      width: width of the stored image, in the unit of the boxes.

    Returns:
      [M, 4] in the frame of the upright image, of the same type.
    """
    ymin, xmin, ymax, xmax = boxes.T
    if orientation > 4:
        ymin, xmin, ymax, xmax, height, width = xmin, ymin, xmax, ymax, width, height
    flips = (orientation - 1) % 4
    if flips in (1, 2):
        xmin, xmax = width - xmax, width - xmin
    if flips in (2, 3):
        ymin, ymax = height - ymax, height - ymin
    return np.stack([ymin, xmin, ymax, xmax], axis=-1).astype(boxes.dtype)
