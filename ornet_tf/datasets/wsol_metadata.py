"""Loads images and boxes by the lists of "Evaluating Weakly Supervised Object Localization Methods Right".

    metadata/<folder of the split>/image_ids.txt      <image below root>
    metadata/<folder of the split>/class_labels.txt   <image>,<class from 0>
    metadata/<folder of the split>/localization.txt   <image>,<x0>,<y0>,<x1>,<y1>; several lines for an image allowed

(Choe et al., CVPR 2020.) The folders are named train, val and test or, as in the paper, train-weaksup, train-fullsup
and test. There are lists for ImageNet (val is ImageNetV2), for CUB (val is CUBV2), and for OpenImages, which has masks
instead of boxes; these are not read. Boxes are in the frame of the stored image, because wsolevaluation ignores EXIF,
and are converted to the frame of the upright image.
"""
from __future__ import annotations

import os
import pathlib

import numpy as np
from absl import logging

from ornet_tf import paths
from ornet_tf.data.source import MissingSplit, Source
from ornet_tf.datasets import _files, _pascal_voc, _stored_frame
from ornet_tf.errors import UserError

_FOLDERS = {"train": ("train", "train-weaksup"), "validation": ("val", "train-fullsup"), "test": ("test",)}
_LAYOUT = "the folder of the lists of wsolevaluation, such as metadata/CUB"


def load(
    split: str,
    *,
    metadata: str | os.PathLike,
    root: str | os.PathLike,
    last_pixel: bool = True,
    class_names: str | os.PathLike | None = None,
) -> Source:
    """Returns one split by its lists.

    Args:
      split: 'train' (without boxes), 'validation' or 'test' (with boxes where the lists have them).
      metadata: the folder that holds the folders of the splits.
      root: the folder that the names of images are relative to.
      last_pixel: True if x1 and y1 are the last pixel of the box, as in the lists of ImageNet: a box over a whole image
        of 500 x 375 is 0, 0, 499, 374. False if they are one past it, as in the lists of CUB.
      class_names: a file with the name of a class in each line, in the order of the class numbers; None to use the
        numbers as names.

    Returns:
      The images in the order of image_ids.txt, with the names in it. Without `class_names`, the number of classes is
      the largest class number in the lists of all splits plus 1.

    Raises:
      FileNotFoundError: if a folder or a list is missing.
      UserError: for an unknown split, a malformed or contradictory list, or a split without images.
    """
    lists = _files.check_folder(metadata, split, plugin="wsol_metadata", layout=_LAYOUT, option="metadata")
    images = _files.check_folder(root, split, plugin="wsol_metadata", layout="the folder of the images")
    folder = _split_folder(lists, split)
    if folder is None:
        expected = " or ".join(str(lists / name) for name in _FOLDERS[split])
        raise MissingSplit(f"{expected}: no such folder, so there is no {split} split; expected {_LAYOUT}.")
    path = folder / "image_ids.txt"
    names = [_image_name(line, images, path, number) for number, line in _files.read_lines(path, layout=_LAYOUT)]
    if not names:
        raise MissingSplit(f"{path}: the {split} split has no images.")
    _files.check_unique(names, str(path))
    labels = _read_labels(images, folder / "class_labels.txt")
    missing = [name for name in names if name not in labels]
    if missing:
        raise UserError(f"{folder / 'class_labels.txt'}: expected a line for each image, got none for {missing[0]}.")
    return Source(
        class_names=_read_class_names(images, lists, class_names),
        images=[f"{images}/{name}" for name in names],
        names=names,
        labels=np.array([labels[name] for name in names], np.int32),
        boxes=None if split == "train" else _read_boxes(images, folder / "localization.txt", names, last_pixel),
    )


def _split_folder(lists: pathlib.Path, split: str) -> pathlib.Path | None:
    return next((lists / name for name in _FOLDERS[split] if (lists / name).is_dir()), None)


def _image_name(text: str, root: pathlib.Path, path: pathlib.Path, number: int) -> str:
    """Returns the image name for a file in a line of a list."""
    return _files.relative_path(text, root, f"{path}, line {number}")


def _read_labels(root: pathlib.Path, path: pathlib.Path) -> dict[str, int]:
    labels = {}
    for number, line in _files.read_lines(path, layout=_LAYOUT):
        name, _, label = line.rpartition(",")
        if not name or not label.strip().isdecimal():
            raise UserError(f"{path}, line {number}: expected '<image>,<class>', got {line!r}.")
        name = _image_name(name, root, path, number)
        if labels.setdefault(name, int(label)) != int(label):
            raise UserError(f"{path}, line {number}: expected one class for each image, got another of {name!r}.")
    return labels


def _read_class_names(root: pathlib.Path, lists: pathlib.Path, path: str | os.PathLike | None) -> list[str]:
    if path is not None:
        file = paths.local(path, "wsol_metadata: class_names")
        return [line for _, line in _files.read_lines(file, layout="the name of a class in each line")]
    folders = [folder for folder in (_split_folder(lists, split) for split in _FOLDERS) if folder is not None]
    highest = max(max(_read_labels(root, folder / "class_labels.txt").values(), default=-1) for folder in folders)
    return [str(label) for label in range(highest + 1)]


def _read_boxes(
    root: pathlib.Path, path: pathlib.Path, names: list[str], last_pixel: bool
) -> list[np.ndarray] | None:
    """Returns float32 [M, 4] for each image; None if the list has masks instead of boxes."""
    corners: dict[str, list[list[float]]] = {name: [] for name in names}
    for number, line in _files.read_lines(path, layout=_LAYOUT):
        name, *cells = line.split(",")
        if len(cells) == 2:  # <mask>,<mask of pixels to ignore>
            logging.warning("%s lists masks, which are not read: the split has no boxes.", path)
            return None
        try:
            x0, y0, x1, y1 = map(float, cells)
        except ValueError:
            form = "'<image>,<x0>,<y0>,<x1>,<y1>'"
            raise UserError(f"{path}, line {number}: expected {form}, got {line!r}.") from None
        name = _image_name(name, root, path, number)
        if name not in corners:
            raise UserError(f"{path}, line {number}: expected an image of image_ids.txt, got {name!r}.")
        corners[name].append([y0, x0, y1, x1])
    boxes = {name: _pascal_voc.to_half_open(rows) if last_pixel else rows for name, rows in corners.items()}
    images = [f"{root}/{name}" for name in names]
    return _stored_frame.turn_boxes_upright(images, _files.select_boxes(names, boxes), what=str(path))
