"""Loads Stanford Dogs (Khosla et al., FGVC workshop of CVPR 2011), 120 breeds, from a folder in its archives' layout.

    root/Images/<wnid>-<Breed>/<image>.jpg          images.tar
    root/Annotation/<wnid>-<Breed>/<image>          annotation.tar: XML in the layout of PASCAL VOC, without suffix
    root/train_list.mat, root/test_list.mat           lists.tar; also in root/lists/

The lists are MATLAB files whose variable file_list names 12,000 and 8,580 images below Images/. They may be replaced by
train_list.txt and test_list.txt with the same names, one per line. Boxes follow ImageNet's convention: they count
pixels from 0, end with the last pixel and are in the frame of the stored image (see `imagenet`).
"""
from __future__ import annotations

import os
import pathlib

import numpy as np
from absl import logging

from ornet_tf.data.source import MissingSplit, Source
from ornet_tf.datasets import _files, _held_out, _matlab, _pascal_voc, _stored_frame
from ornet_tf.errors import UserError

_LAYOUT = "root to hold Images/, Annotation/ and train_list.mat of Stanford Dogs"


def load(
    split: str, *, root: str | os.PathLike, validation_per_class: int = 0, validation_seed: int = 0
) -> Source:
    """Returns one split of Stanford Dogs.

    The data set has no official validation split. It is held out of the official training split, so 'train' does not
    contain it. The choice depends only on the seed and the names of the images.

    Args:
      split: 'train' (without boxes), 'validation' or 'test' (with a box for each dog).
      root: the folder that holds Images/, Annotation/ and the lists.
      validation_per_class: how many of the 100 training images of each class make up the validation split.
      validation_seed: another seed gives another validation split.

    Returns:
      The images in the order of the list; their names are their paths below Images/. Labels count in the order of the
      folders' names, as in the lists. The name of a class is its breed.

    Raises:
      FileNotFoundError: if a list or a folder is missing.
      UserError: for an unknown split, a malformed list or annotation, or a split without images.
    """
    folder = _files.check_folder(root, split, plugin="stanford_dogs", layout=_LAYOUT)
    images = _subfolder(folder, "Images")
    lists = {name: _read_list(folder, f"{name}_list") for name in ("train", "test")}
    classes = sorted({_class(name) for names in lists.values() for name in names})
    names = lists["test" if split == "test" else "train"]
    if split != "test":
        class_of = {name: _class(name) for name in names}
        held_out = _held_out.choose(class_of, validation_per_class, validation_seed, plugin="stanford_dogs")
        names = [name for name in names if (name in held_out) == (split == "validation")]
    if not names:
        advice = " Set validation_per_class above 0." if split == "validation" else ""
        raise MissingSplit(f"{folder}: the {split} split has no images.{advice}")
    label_of = {name: label for label, name in enumerate(classes)}
    return Source(
        class_names=[name.partition("-")[2].replace("_", " ") or name for name in classes],
        images=[f"{images}/{name}" for name in names],
        names=names,
        labels=np.array([label_of[_class(name)] for name in names], np.int32),
        boxes=None if split == "train" else _read_boxes(images, _subfolder(folder, "Annotation"), names),
    )


def _subfolder(root: pathlib.Path, name: str) -> pathlib.Path:
    """Returns the subfolder of this name, which may be in lower case."""
    for path in (root / name, root / name.lower()):
        if path.is_dir():
            return path
    raise FileNotFoundError(f"{root / name}: no such folder; expected {_LAYOUT}.")


def _class(name: str) -> str:
    return name.split("/")[0]


def _read_list(root: pathlib.Path, name: str) -> list[str]:
    """Returns the image names of a list, such as 'n02085620-Chihuahua/n02085620_5927.jpg'."""
    for folder in (root, root / "lists"):
        path = folder / f"{name}.mat"
        if path.is_file():
            names = _matlab.read(path, "file_list")
            if names is None:
                raise UserError(f"{path}: expected the variable file_list, a cell array of names, got none.")
            names = names.tolist()
            break
        path = folder / f"{name}.txt"
        if path.is_file():
            names = [line for _, line in _files.read_lines(path, layout=_LAYOUT)]
            break
    else:
        raise FileNotFoundError(f"{root / name}.mat: no such file, nor in {root / 'lists'}; expected {_LAYOUT}.")
    for entry in names:
        if not isinstance(entry, str) or entry.count("/") != 1 or not all(part.strip(".") for part in entry.split("/")):
            raise UserError(f"{path}: expected names such as 'n02085620-Chihuahua/n02085620_7.jpg', got {entry!r}.")
    _files.check_unique(names, str(path))
    return names


def _read_boxes(images: pathlib.Path, folder: pathlib.Path, names: list[str]) -> list[np.ndarray]:
    annotations = {name: _pascal_voc.read(folder / os.path.splitext(name)[0]) for name in names}
    boxes = {name: annotation.boxes for name, annotation in annotations.items() if annotation is not None}
    if len(boxes) < len(names):
        logging.warning("%s: %d of %d images have no annotation.", folder, len(names) - len(boxes), len(names))
    sizes = [None if annotation is None else annotation.size for annotation in annotations.values()]
    paths = [f"{images}/{name}" for name in names]
    return _stored_frame.turn_boxes_upright(paths, _files.select_boxes(names, boxes), what=str(folder), sizes=sizes)
