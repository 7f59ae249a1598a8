"""Loads your own images from a folder for each class, with boxes in an optional table.

    root/<class>/**/*.jpg|.jpeg|.png                          fractions divide the images into splits; or
    root/train|validation|test/<class>/**/*.jpg|.jpeg|.png    a folder for each split

The second layout is used if all folders in root are named train, validation or test. A split without a folder is then
a fraction of train/. Suffixes may be in upper case. Links are followed; a folder that several links lead to is searched
once, under the first name. Hidden files and folders (their names start with a dot) and folders of operating systems,
such as @eaDir and __MACOSX, are skipped. Skipped files and files with other suffixes are counted in the log.

Boxes are read from boxes.csv in root, in a split folder, or both:

    file,xmin,ymin,xmax,ymax
    cat/1.jpg,10,20,110,220

`file` is relative to the folder of the table, or absolute. The box is in pixels of the upright original image,
half-open (xmax and ymax are one past the last pixel). The columns may be in any order; other columns are ignored. An
image may have several rows or none.
"""
from __future__ import annotations

import hashlib
import os
import pathlib
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from absl import logging

from ornet_tf import paths
from ornet_tf.data import image_files
from ornet_tf.data.source import SPLITS, MissingSplit, Source
from ornet_tf.datasets import _box_table, _files
from ornet_tf.errors import UserError

_TABLE = "boxes.csv"
# Names of folders that hold splits, not classes: a model must not learn to tell splits apart.
_SPLIT_NAMES = {*SPLITS, "training", "val", "valid", "dev", "testing"}


class _Image(NamedTuple):
    name: str  # path below root
    path: str
    class_name: str
    folder: str  # its split folder; "" in the layout without split folders


def load(
    split: str,
    *,
    root: str | os.PathLike,
    boxes_csv: str | None = _TABLE,
    validation_fraction: float = 0.0,
    test_fraction: float = 0.0,
    split_seed: int = 0,
) -> Source:
    """Returns one split of a folder of images.

    Where fractions divide the images, a hash of its name places each image: every class is divided in about the same
    proportions, and adding or removing an image moves no other image to another split.

    Args:
      split: 'train' (without boxes), 'validation' or 'test' (with boxes if there is a table).
      root: the folder; the docstring of this module describes its layouts.
      boxes_csv: file name of the tables, or None. A table with another name than boxes.csv must exist.
      validation_fraction: the fraction of the images (with split folders, of train/) for the validation split.
      test_fraction: the same for the test split.
      split_seed: another seed gives another division.

    Returns:
      The images sorted by name; their names are their paths below root (NFC). The class names are those of all splits,
      sorted.

    Raises:
      FileNotFoundError: if root, or a table with another name than boxes.csv, is missing.
      UserError: for an unknown split, an invalid path, a folder that can't be read or fits neither layout, classes
        whose names differ only in spaces, a wrong fraction, a malformed table, or a split without images.
    """
    root = _files.check_folder(root, split, plugin="image_folder", layout="a folder of images for each class")
    if boxes_csv is not None:
        paths.local(boxes_csv, "image_folder: boxes_csv")
    folders = _split_folders(root)
    shares = _shares(folders, validation_fraction, test_fraction)
    images = _find_images(root, folders, boxes_csv)
    chosen = [image for image in images if _split_of(image, shares, split_seed) == split]
    if not chosen:
        advice = "" if split == "train" else f" Set {split}_fraction, or make a folder {split}/."
        raise MissingSplit(f"{root}: the {split} split has no images.{advice}")
    class_names = sorted({image.class_name for image in images})
    _check_spaces(root, class_names)
    absent = sorted(set(class_names) - {image.class_name for image in chosen})
    if absent:
        logging.warning("%s: the %s split has no image of %s.", root, split, ", ".join(absent[:8]))
    label_of = {name: label for label, name in enumerate(class_names)}
    boxes = None
    if split != "train" and boxes_csv is not None:
        boxes = _read_boxes(root, boxes_csv, folders, chosen, image_names={image.name for image in images})
    return Source(
        class_names=class_names,
        images=[image.path for image in chosen],
        names=[image.name for image in chosen],
        labels=np.array([label_of[image.class_name] for image in chosen], np.int32),
        boxes=boxes,
    )


def _split_folders(root: pathlib.Path) -> tuple[str, ...]:
    """Returns the split folders in root; () in the layout without split folders."""
    names = image_files.scan(root).folders
    if names and set(names) <= set(SPLITS):
        return tuple(names)
    if set(names) & set(SPLITS) or (names and {name.lower() for name in names} <= _SPLIT_NAMES):
        raise UserError(
            f"{root}: expected a folder for each class, or only folders named {', '.join(SPLITS)}, got a mixture: "
            f"{', '.join(names[:8])}. Rename the folders of the splits or of the classes."
        )
    return ()


def _shares(folders: Sequence[str], validation: float, test: float) -> dict[str, float]:
    """Returns the fraction of the divided images for the validation and the test split."""
    shares = {"validation": validation, "test": test}
    for split, share in shares.items():
        if not 0 <= share < 1:
            raise UserError(f"image_folder: expected {split}_fraction to be at least 0 and below 1, got {share!r}.")
        if share and split in folders:
            raise UserError(f"image_folder: expected {split}_fraction 0 beside a folder {split}/, got {share!r}.")
    if validation + test >= 1:
        raise UserError(f"image_folder: expected fractions whose sum is below 1, got {validation} + {test}.")
    return shares


def _split_of(image: _Image, shares: dict[str, float], seed: int) -> str:
    if image.folder not in ("", "train"):
        return image.folder
    digest = hashlib.sha256(f"{seed}/{image.name}".encode()).digest()
    place = int.from_bytes(digest[:6], "big") / 2**48  # uniform in [0, 1)
    # Validation at the low end and test at the high end, so that one fraction does not change the other split.
    if place < shares["validation"]:
        return "validation"
    return "test" if place >= 1 - shares["test"] else "train"


def _find_images(root: pathlib.Path, folders: Sequence[str], table: str | None) -> list[_Image]:
    """Returns the images of all splits, sorted by name."""
    images: dict[str, _Image] = {}
    ignored = []
    for folder in folders or ("",):
        tree = _files.find(root / folder)
        prefix = f"{folder}/" if folder else ""
        ignored += [prefix + file for file in tree.others if file.rsplit("/", 1)[-1] != table]
        ignored += [prefix + file for file in tree.images if "/" not in file]  # in no folder of a class
        for file in tree.images:
            if "/" not in file:
                continue
            path = f"{root}/{prefix}{file}"
            # With composed characters, the names, order and splits are the same on every file system.
            name = prefix + unicodedata.normalize("NFC", file)
            try:
                name.encode()
            except UnicodeEncodeError:
                raise UserError(f"{path!r}: expected a name in UTF-8; rename the file or its folder.") from None
            if name in images:
                raise UserError(f"{path}: the name of another file differs only in its Unicode form; rename one.")
            images[name] = _Image(name, path, name.split("/")[1 if folder else 0], folder)
    if ignored:
        logging.info("%s: ignored %d files that are no images or are in no folder of a class, such as %r.",
                     root, len(ignored), ignored[0])
    if not images:
        raise UserError(
            f"{root}: expected images ({', '.join(image_files.SUFFIXES)}) in a folder for each class, got none among "
            f"{len(ignored)} files."
        )
    return [images[name] for name in sorted(images)]


def _check_spaces(root: pathlib.Path, class_names: Sequence[str]) -> None:
    """Raises UserError if class names differ only in spaces: a mistyped folder name would divide a class in two."""
    first: dict[str, str] = {}
    for name in class_names:
        other = first.setdefault(name.strip(), name)
        if other != name:
            raise UserError(f"{root}: the folders {other!r} and {name!r} differ in spaces only; rename or merge them.")


def _read_boxes(
    root: pathlib.Path, table: str, folders: Sequence[str], chosen: Sequence[_Image], image_names: set[str]
) -> list[np.ndarray] | None:
    """Returns float32 [M, 4] for each chosen image; None if there is no table for their split."""
    if table != _TABLE and not any(_is_table(root / folder / table) for folder in ("", *folders)):
        raise FileNotFoundError(f"{root / table}: no such file, nor one in a split folder; correct boxes_csv.")
    boxes: dict[str, list[list[float]]] = {}
    has_table = False
    for folder in sorted({"", chosen[0].folder}):  # all images of a split are in the same split folder
        path = root / folder / table
        if _is_table(path):
            has_table = True
            for name, box in _box_table.read(path, prefix=folder, image_names=image_names):
                boxes.setdefault(name, []).append(box)
    if not has_table:
        return None
    without = sum(image.name not in boxes for image in chosen)
    if without:
        logging.info("%s: %d of %d images have no box in %s.", root, without, len(chosen), table)
    return _files.select_boxes([image.name for image in chosen], boxes)


def _is_table(path: pathlib.Path) -> bool:
    """Returns whether the table exists; raises UserError if the path is no file."""
    if path.is_file():
        return True
    if os.path.lexists(path):
        kind = "a folder" if path.is_dir() else "a broken link or a special file"
        raise UserError(f"{path}: expected a table of boxes, got {kind}; rename or remove it, or set boxes_csv=None.")
    return False
