"""Writes and reads folders of encoded images, one file each, with an index of their labels and boxes.

    folder/index.npz            written last: a folder with an index is complete
    folder/0000/0000000.jpg     a thousand images per subfolder
"""
from __future__ import annotations

import io
import pathlib
import shutil
import uuid
from collections.abc import Iterable, Sequence

import numpy as np
from absl import logging
from PIL import Image

from ornet_tf import atomic_write
from ornet_tf.data import orientation
from ornet_tf.data.pillow_errors import UNREADABLE
from ornet_tf.data.source import Source
from ornet_tf.errors import UserError

LAYOUT = 2  # raise it when the files that `write` makes change

_INDEX = "index.npz"
_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_SUFFIXES = (".jpg", ".png", ".other")
_GIVE_UP_AFTER = 100  # images of which none is a JPEG or PNG


def exists(folder: pathlib.Path) -> bool:
    """Returns whether the folder exists and is complete."""
    return (folder / _INDEX).is_file()


def write(
    examples: Iterable[tuple[bytes, int, np.ndarray]], folder: pathlib.Path, *, class_names: Sequence[str], what: str
) -> None:
    """Writes a folder under a temporary name and renames it; one image is in memory at a time.

    An image that is neither JPEG nor PNG is written like the others: the check of all images before training reports
    it. It is an error only if there are no JPEG or PNG images at all.

    Args:
      examples: (encoded image, label, boxes), with boxes float [M, 4] (ymin, xmin, ymax, xmax) in fractions of the
        stored image, to which the EXIF orientation has not been applied.
      folder: the folder to write; its parents are made.
      class_names: of the labels.
      what: the name of the data, for messages.

    Raises:
      OSError: if the folder can't be written.
      UserError: for images in other formats only, a label outside the classes, boxes outside 0..1, or no examples.
    """
    failure = f"{what}: {folder} could not be written", ", with another cache_dir"
    with atomic_write.explain_failures(*failure):
        folder.parent.mkdir(parents=True, exist_ok=True)
    for partial in folder.parent.glob(f"{folder.name}.partial-*"):
        logging.warning("%s was left by a run that was stopped; remove it, unless a run is writing it now.", partial)
    aside = folder.with_name(f"{folder.name}.partial-{uuid.uuid4().hex[:8]}")
    try:
        with atomic_write.explain_failures(*failure):
            aside.mkdir()
        index = _write_images(examples, aside, len(class_names), what)
        with atomic_write.explain_failures(*failure):
            np.savez(aside / _INDEX, class_names=np.array(class_names, np.str_), **index)
            atomic_write.place_folder(str(aside), str(folder))
    except OSError:
        if not exists(folder):  # else another process has written the same folder
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _write_images(
    examples: Iterable[tuple[bytes, int, np.ndarray]], folder: pathlib.Path, num_classes: int, what: str
) -> dict[str, np.ndarray]:
    """Writes the image files; returns the arrays of the index."""
    labels, kinds, boxes = [], [], [np.zeros((0, 4), np.float32)]
    for number, (encoded, label, fractions) in enumerate(examples):
        if not 0 <= label < num_classes:
            raise UserError(f"{what}: expected labels from 0 to {num_classes - 1}, got {label} for image {number}.")
        if np.any((fractions < -1e-3) | (fractions > 1 + 1e-3)):
            raise UserError(f"{what}: expected boxes in 0..1, got {fractions.tolist()} for image {number}.")
        kind = 0 if encoded.startswith(_JPEG) else 1 if encoded.startswith(_PNG) else 2
        labels.append(label)
        kinds.append(kind)
        boxes.append(_pixel_boxes(encoded, fractions, f"{what}: image {number}"))
        if number + 1 == _GIVE_UP_AFTER:
            _check_kinds(kinds, what)
        path = folder / _file_name(number, kind)
        with atomic_write.explain_failures(f"{what}: {path} could not be written", ", with another cache_dir"):
            if number % 1000 == 0:
                path.parent.mkdir()
            path.write_bytes(encoded)
        logging.log_every_n_seconds(logging.INFO, "%s: %d images unpacked.", 10, what, number + 1)
    if not labels:
        raise UserError(f"{what}: expected images, got none.")
    _check_kinds(kinds, what)
    return {
        "labels": np.array(labels, np.int32),
        "kinds": np.array(kinds, np.uint8),
        "boxes": np.concatenate(boxes),
        "box_counts": np.array([len(b) for b in boxes[1:]], np.int32),
    }


def _check_kinds(kinds: Sequence[int], what: str) -> None:
    if min(kinds) == len(_SUFFIXES) - 1:
        raise UserError(f"{what}: expected JPEG or PNG images, got none among the first {len(kinds)}.")


def _file_name(number: int, kind: int) -> str:
    return f"{number // 1000:04d}/{number:07d}{_SUFFIXES[kind]}"


def _pixel_boxes(encoded: bytes, fractions: np.ndarray, where: str) -> np.ndarray:
    """Returns the boxes with an area in pixels of the upright image, float32 [M, 4]."""
    if not len(fractions):
        return np.zeros((0, 4), np.float32)
    try:
        with Image.open(io.BytesIO(encoded)) as image:  # reads the header only
            width, height = image.size
    except UNREADABLE as error:
        logging.warning("%s has no readable header; its boxes are left out: %s", where, error)
        return np.zeros((0, 4), np.float32)
    value = orientation.read_orientation(io.BytesIO(encoded))
    boxes = orientation.turn_boxes_upright(np.asarray(fractions, np.float64), value, height=1, width=1)
    boxes *= [width, height] * 2 if value > 4 else [height, width] * 2
    return boxes[(boxes[:, :2] < boxes[:, 2:]).all(axis=1)].astype(np.float32)


def read(folder: pathlib.Path, *, with_boxes: bool) -> Source:
    """Returns the source of a folder made by `write`; image names are paths relative to the folder."""
    with np.load(folder / _INDEX) as index:
        labels, kinds, counts = index["labels"], index["kinds"], index["box_counts"]
        boxes = np.split(index["boxes"], np.cumsum(counts)[:-1]) if with_boxes else None
        class_names = index["class_names"].tolist()
    names = [_file_name(number, kind) for number, kind in enumerate(kinds.tolist())]
    return Source(
        class_names=class_names, images=[f"{folder}/{name}" for name in names], names=names, labels=labels, boxes=boxes
    )
