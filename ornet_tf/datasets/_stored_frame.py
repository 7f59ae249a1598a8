"""Converts boxes in the frame of the stored image to the frame of the upright image, which is the one that is decoded.

Until about 2015, browsers and annotation programs ignored the EXIF orientation, so older data sets have boxes in the
frame of the stored image. The orientation is read from the first bytes of a file, and only of images with boxes: about
a second for 50,000 files on a local disk.
"""
from __future__ import annotations

import concurrent.futures
from collections.abc import Sequence

import numpy as np
from absl import logging
from PIL import Image

from ornet_tf.data import orientation
from ornet_tf.data.pillow_errors import UNREADABLE

_THREADS = 16  # for slow file systems


def turn_boxes_upright(
    paths: Sequence[str],
    boxes: Sequence[np.ndarray],
    *,
    what: str,
    sizes: Sequence[tuple[int, int] | None] | None = None,
) -> list[np.ndarray]:
    """Converts boxes to the frame of the upright images.

    Args:
      paths: the N image files; unreadable files are skipped: the check of all images reports them.
      boxes: for each image float32 [M, 4] (ymin, xmin, ymax, xmax), half-open, in pixels.
      what: the name of the data, for the log.
      sizes: for each image the (height, width) in its annotation, or None. The boxes of an image are converted if this
        is the size of the stored image (a square image has the same size when upright). None if the boxes of all
        images are in the stored frame.

    Returns:
      For each image float32 [M, 4] in pixels of the upright image.
    """
    boxes = list(boxes)
    with_boxes = [index for index, rows in enumerate(boxes) if len(rows)]
    parts = [with_boxes[start::_THREADS] for start in range(_THREADS)]
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        read = list(pool.map(lambda part: [(index, _read_orientation(paths[index])) for index in part], parts))
    turned = sorted((index, value) for part in read for index, value in part if value > 1)
    counts = {True: 0, False: 0, None: 0}
    without_size = 0
    for index, value in turned:
        size = _read_size(paths[index])
        stated = size if sizes is None else sizes[index]
        is_stored = None  # unknown
        if size is not None and stated == size:
            is_stored = True
        elif size is not None and stated == size[::-1] and value > 4:
            is_stored = False
        if size is None:
            without_size += 1
        else:
            counts[is_stored] += 1
        if is_stored:
            boxes[index] = orientation.turn_boxes_upright(boxes[index], value, height=size[0], width=size[1])
    if turned:
        logging.info(
            "%s: EXIF turns %d images with boxes: %d had boxes of the stored image, which were converted; %d had boxes "
            "of the upright image.", what, len(turned), counts[True], counts[False]
        )
    if counts[None]:
        logging.warning(
            "%s: EXIF turns %d images whose annotation has no size or another one than the image; their boxes are "
            "taken for boxes of the upright image.", what, counts[None]
        )
    if without_size:
        logging.warning(
            "%s: EXIF turns %d images with boxes whose size can't be read; their boxes are not converted.",
            what, without_size,
        )
    return boxes


def _read_orientation(path: str) -> int:
    try:
        with open(path, "rb", buffering=4096) as file:
            return orientation.read_orientation(file)
    except OSError:
        return 1


def _read_size(path: str) -> tuple[int, int] | None:
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except UNREADABLE:  # or too large for Pillow
        try:
            with open(path, "rb", buffering=4096) as file:
                return orientation.read_stored_size(file)
        except OSError:
            return None
