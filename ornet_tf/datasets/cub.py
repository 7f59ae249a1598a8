"""Loads Caltech-UCSD Birds-200-2011 (Wah et al., 2011, CNS-TR-2011-001) from a folder in the layout of its archive.

    root/classes.txt              <class id> <class name>
    root/images.txt               <image id> <file below images/>
    root/image_class_labels.txt   <image id> <class id>
    root/train_test_split.txt     <image id> <1 = training, 0 = test>
    root/bounding_boxes.txt       <image id> <x> <y> <width> <height>   (pixels of the stored image)
    root/images/<class name>/<file>.jpg
    root/segmentations/<class name>/<file>.png      (optional: grey masks, from the second archive)

A part of the data set in the same layout can be used: ids need not be contiguous, and images whose class is not in
classes.txt are left out. Boxes are converted to the frame of the upright image, see `_stored_frame`.
"""
from __future__ import annotations

import math
import operator
import os
import pathlib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from absl import logging

from ornet_tf import paths
from ornet_tf.data.source import MissingSplit, Source
from ornet_tf.datasets import _files, _held_out, _stored_frame
from ornet_tf.errors import UserError

_LAYOUT = "root to hold images.txt, the other lists and images/ of CUB-200-2011"


def load(
    split: str,
    *,
    root: str | os.PathLike,
    validation_per_class: int = 0,
    validation_seed: int = 0,
    classes: Sequence[int] | None = None,
    segmentations: str | os.PathLike | None = None,
) -> Source:
    """Returns one split of CUB-200-2011.

    The data set has no official validation split. It is held out of the official training split, so 'train' does not
    contain it. The choice in a class depends only on the seed and the ids of its images.

    Args:
      split: 'train' (without boxes), 'validation' or 'test' (with one box for each image, or none for 0 0 0 0).
      root: the folder that holds images.txt and images/ (CUB_200_2011 in the archive).
      validation_per_class: how many training images of each class make up the validation split.
      validation_seed: another seed gives another validation split.
      classes: ids of classes.txt; None for all classes in it. Labels count from 0 in the order of the ids.
      segmentations: the folder of masks; None for root/segmentations if it exists.

    Returns:
      The images in the order of images.txt; their names are their paths below images/.

    Raises:
      FileNotFoundError: if a list, the folder of images or the folder of masks is missing.
      UserError: for an unknown split, an invalid path, a malformed or contradictory list, or a split without images.
    """
    root = _files.check_folder(root, split, plugin="cub", layout=_LAYOUT)
    if not (root / "images").is_dir():
        raise FileNotFoundError(f"{root / 'images'}: no such folder; expected {_LAYOUT}.")
    names = _read_list(root / "classes.txt", _parse_class_name, "<class id> <class name>")
    chosen = _choose_classes(classes, names, root)
    label_of = {class_id: label for label, class_id in enumerate(chosen)}

    list_file = root / "images.txt"
    files = _read_list(list_file, _parse_file, "<image id> <file>")
    files = {i: _files.relative_path(file, root / "images", f"{list_file}, image {i}") for i, file in files.items()}
    _files.check_unique(files.values(), str(list_file))
    class_of = _read_image_list(files, root / "image_class_labels.txt", int, "<image id> <class id>")
    is_training = _read_image_list(files, root / "train_test_split.txt", _parse_flag, "<image id> <0 or 1>")
    unknown = sum(class_of[image] not in names for image in files)
    if unknown:
        logging.warning("%s: %d images are left out: classes.txt does not name their class.", root, unknown)

    images = [i for i in files if class_of[i] in label_of and is_training[i] == (split != "test")]
    if split != "test":
        class_of_training = {image: class_of[image] for image in images}
        held_out = _held_out.choose(class_of_training, validation_per_class, validation_seed, plugin="cub")
        images = [i for i in images if (i in held_out) == (split == "validation")]
    if not images:
        advice = " Set validation_per_class above 0." if split == "validation" else ""
        raise MissingSplit(f"{root}: the {split} split has no images.{advice}")
    locations = [str(root / "images" / files[image]) for image in images]
    boxes = None
    if split != "train":
        form = "<image id> <x> <y> <width> <height>"
        box_of = _read_image_list(images, root / "bounding_boxes.txt", _parse_box, form)
        empty = sum(not len(box_of[image]) for image in images)
        if empty:
            logging.warning("%s: %d of %d images have no object: their box is 0 0 0 0.", root, empty, len(images))
        boxes = _stored_frame.turn_boxes_upright(locations, [box_of[image] for image in images], what=str(root))
    return Source(
        class_names=[names[class_id] for class_id in chosen],
        images=locations,
        names=[files[image] for image in images],
        labels=np.array([label_of[class_of[image]] for image in images], np.int32),
        boxes=boxes,
        masks=None if split == "train" else _mask_paths(root, segmentations, [files[image] for image in images]),
    )


def _mask_paths(root: pathlib.Path, folder: str | os.PathLike | None, files: Sequence[str]) -> list[str] | None:
    """Returns the paths of the masks, which need not exist; None if there is no folder of masks."""
    if folder is None and not (root / "segmentations").is_dir():
        return None
    folder = root / "segmentations" if folder is None else paths.local(folder, "cub: segmentations")
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; expected segmentations to be the folder of the masks.")
    return [str(folder / pathlib.PurePosixPath(file).with_suffix(".png")) for file in files]


def _choose_classes(classes: Sequence[int] | None, names: dict[int, str], root: pathlib.Path) -> list[int]:
    """Returns the sorted ids of the classes to use."""
    if not names:
        raise UserError(f"{root / 'classes.txt'}: expected '<class id> <class name>' lines, got an empty file.")
    if classes is None:
        return sorted(names)
    if isinstance(classes, (str, int)):
        raise UserError(f"cub: expected classes to be a list of class ids such as [1, 2], got {classes!r}.")
    chosen = sorted({_whole_number(class_id, "classes") for class_id in classes})
    missing = [class_id for class_id in chosen if class_id not in names]
    if missing or not chosen:
        wrong = f"{missing[0]}, which is not in {root / 'classes.txt'}" if missing else "an empty list"
        raise UserError(f"cub: expected classes to be class ids of classes.txt, got {wrong}.")
    return chosen


def _read_list(path: pathlib.Path, parse: Callable[[str], Any], form: str) -> dict[int, Any]:
    """Returns {id: parse(rest of the line)} of a list, in the order of its lines."""
    rows: dict[int, Any] = {}
    for number, line in _files.read_lines(path, layout=_LAYOUT):
        first, *rest = line.split(None, 1)
        try:
            row, value = int(first), parse("".join(rest))
        except UserError as error:
            raise UserError(f"{path}, line {number}: {error}") from None
        except ValueError:
            raise UserError(f"{path}, line {number}: expected '{form}', got {line!r}.") from None
        if row in rows:
            raise UserError(f"{path}, line {number}: expected each id once, got {row} again.")
        rows[row] = value
    return rows


def _read_image_list(
    images: Iterable[int], path: pathlib.Path, parse: Callable[[str], Any], form: str
) -> dict[int, Any]:
    """Reads a list as `_read_list` and checks that it has a line for every image."""
    rows = _read_list(path, parse, form)
    for image in images:
        if image not in rows:
            raise UserError(f"{path}: expected a line for each image of images.txt, got none for image {image}.")
    return rows


def _whole_number(value: Any, option: str) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise UserError(f"cub: expected {option} to be a list of whole numbers, got {value!r}.") from None


def _parse_class_name(text: str) -> str:
    """'001.Black_footed_Albatross' -> 'Black footed Albatross'."""
    name = re.sub(r"^\d+\.", "", text).replace("_", " ").strip()
    if not name:
        raise ValueError("no name")
    return name


def _parse_file(text: str) -> str:
    if not text:
        raise ValueError("no file")
    return text


def _parse_flag(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError("neither 0 nor 1")
    return text == "1"


def _parse_box(text: str) -> np.ndarray:
    """'x y width height' -> float32 [1, 4] (ymin, xmin, ymax, xmax), half-open; '0 0 0 0' (no object) -> [0, 4]."""
    x, y, width, height = numbers = [float(word) for word in text.split()]
    if not any(numbers):
        return np.zeros([0, 4], np.float32)
    if not math.isfinite(sum(numbers)):
        raise UserError(f"expected finite numbers, got {text!r}.")
    if width <= 0 or height <= 0:
        raise UserError(f"expected a width and a height above 0, or 0 0 0 0 for no object; {text!r} has no area.")
    return np.array([[y, x, y + height, x + width]], np.float32)
