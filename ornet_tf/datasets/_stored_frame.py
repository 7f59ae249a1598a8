"""Turns boxes of images as they are stored into the frame of the upright images that are decoded.

Data sets of before about 2015 were annotated in browsers and programs that showed images as they are stored. Where EXIF
turns such an image, its box has to be turned along. Orientations are read from the files' first bytes, of the images
with boxes alone: 50,000 of them take about a second where the files are at hand.
"""
from __future__ import annotations

import concurrent.futures
from collections.abc import Sequence

import numpy as np
from absl import logging
from PIL import Image

from ornet_tf.data import orientation
from ornet_tf.data.pillow_errors import UNREADABLE

_THREADS = 16  # for file systems that take long to answer


def upright(
    paths: Sequence[str],
    boxes: Sequence[np.ndarray],
    *,
    what: str,
    sizes: Sequence[tuple[int, int] | None] | None = None,
) -> list[np.ndarray]:
    """Returns the boxes in the frames of the upright images.

    Args:
      paths: the N image files; what can't be read is left for the check of all images to name.
      boxes: for each float32 [M, 4] (ymin, xmin, ymax, xmax), half-open, in pixels.
      what: the data, for the log.
      sizes: for each the (height, width) that its annotation states, None where it states none: boxes are in the stored
        frame where that is the size of the stored image. None for all: the boxes are in the stored frame. The size of
        a square image does not tell; its boxes, too, are taken as those of the stored frame.

    Returns:
      For each image float32 [M, 4] in pixels of the upright image.
    """
    boxes = list(boxes)
    with_boxes = [index for index, rows in enumerate(boxes) if len(rows)]
    parts = [with_boxes[start::_THREADS] for start in range(_THREADS)]
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        found = list(pool.map(lambda part: [(index, _orientation(paths[index])) for index in part], parts))
    turned = sorted((index, value) for part in found for index, value in part if value > 1)
    counts = {True: 0, False: 0, None: 0}
    without_size = 0
    for index, value in turned:
        size = _size(paths[index])
        stated = size if sizes is None else sizes[index]
        is_stored = None  # nobody can tell
        if size is not None and stated == size:  # also that of the upright image after a half turn or in a mirror
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
            "%s: EXIF turns %d images with boxes: %d had boxes of the stored image, which were turned along; %d had "
            "boxes of the upright image.", what, len(turned), counts[True], counts[False]
        )
    if counts[None]:
        logging.warning(
            "%s: EXIF turns %d images whose annotation states no size, or another than the image has; their boxes are "
            "taken as those of the upright image.", what, counts[None]
        )
    if without_size:
        logging.warning(
            "%s: EXIF turns %d images with boxes whose own size can't be read; their boxes are left as they are.",
            what, without_size,
        )
    return boxes


def _orientation(path: str) -> int:
    try:
        with open(path, "rb", buffering=4096) as file:
            return orientation.read_orientation(file)
    except OSError:
        return 1


def _size(path: str) -> tuple[int, int] | None:
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except UNREADABLE:  # also what is too large for Pillow
        try:
            with open(path, "rb", buffering=4096) as file:
                return orientation.stored_size(file)
        except OSError:
            return None
