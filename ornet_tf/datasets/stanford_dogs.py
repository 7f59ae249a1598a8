"""Stanford Dogs (Khosla et al., FGVC workshop of CVPR 2011): 120 breeds, from a folder in the data set's own layout.

    root/Images/<wnid>-<Breed>/<image>.jpg          images.tar
    root/Annotation/<wnid>-<Breed>/<image>          annotation.tar: XML in the layout of PASCAL VOC, without suffix
    root/train_list.mat, root/test_list.mat           lists.tar; also in root/lists/

The lists are MATLAB files whose variable file_list names 12,000 and 8,580 images below Images/. Instead of them
train_list.txt and test_list.txt may hold the same names, one a line. Boxes are ImageNet's: pixels from 0 to the last,
of the image as it is stored (see `imagenet`).
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

    The data set has no validation split: it is a part of the official training split, taken away from 'train'. Which
    images it gets depends on the seed and their names alone.

    Args:
      split: 'train' (without boxes), 'validation' or 'test' (with a box for each dog).
      root: the folder that holds Images/, Annotation/ and the lists.
      validation_per_class: how many training images of each class make up the validation split; each has 100.
      validation_seed: chooses these images.

    Returns:
      The images in the order of the list, named by their path below Images/. Labels count in order of the folders'
      names, as those of the lists do; a class is called by its breed.

    Raises:
      FileNotFoundError: if a list or a folder is missing.
      UserError: for an unknown split, a malformed list or annotation, or a split without images.
    """
    folder = _files.folder(root, split, plugin="stanford_dogs", layout=_LAYOUT)
    images = _subfolder(folder, "Images")
    lists = {name: _list(folder, f"{name}_list") for name in ("train", "test")}
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
        boxes=None if split == "train" else _boxes(images, _subfolder(folder, "Annotation"), names),
    )


def _subfolder(root: pathlib.Path, name: str) -> pathlib.Path:
    """Returns the folder of that name, written as in the archives or in lower case."""
    for path in (root / name, root / name.lower()):
        if path.is_dir():
            return path
    raise FileNotFoundError(f"{root / name}: no such folder; expected {_LAYOUT}.")


def _class(name: str) -> str:
    return name.split("/")[0]


def _list(root: pathlib.Path, name: str) -> list[str]:
    """Returns the names of a list, such as 'n02085620-Chihuahua/n02085620_5927.jpg'."""
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
            names = [line for _, line in _files.lines(path, layout=_LAYOUT)]
            break
    else:
        raise FileNotFoundError(f"{root / name}.mat: no such file, nor in {root / 'lists'}; expected {_LAYOUT}.")
    for entry in names:
        if not isinstance(entry, str) or entry.count("/") != 1 or not all(part.strip(".") for part in entry.split("/")):
            raise UserError(f"{path}: expected names such as 'n02085620-Chihuahua/n02085620_7.jpg', got {entry!r}.")
    _files.expect_once(names, str(path))
    return names


def _boxes(images: pathlib.Path, folder: pathlib.Path, names: list[str]) -> list[np.ndarray]:
    found = {name: _pascal_voc.read(folder / os.path.splitext(name)[0]) for name in names}
    known = {name: annotation.boxes for name, annotation in found.items() if annotation is not None}
    if len(known) < len(names):
        logging.warning("%s: %d of %d images have no annotation.", folder, len(names) - len(known), len(names))
    sizes = [None if annotation is None else annotation.size for annotation in found.values()]
    paths = [f"{images}/{name}" for name in names]
    return _stored_frame.upright(paths, _files.boxes(names, known), what=str(folder), sizes=sizes)
