"""Your own images: one folder for each class, with boxes in an optional table.

    root/<class>/**/*.jpg|.jpeg|.png                          one set, which fractions divide; or
    root/train|validation|test/<class>/**/*.jpg|.jpeg|.png    divided by hand

The second layout is taken when all folders directly below root are named train, validation or test. A split without a
folder of its own is then cut from train/, as it is from the whole set in the first layout. The case of a suffix does
not matter. Links are followed; a folder that several lead to is looked into once, under the first name. Hidden files
and folders (their name starts with a dot) and folders of systems, such as @eaDir and __MACOSX, are passed over; these
and files with other suffixes are counted and logged.

Boxes are read from boxes.csv in root, in a split folder, or both:

    file,xmin,ymin,xmax,ymax
    cat/1.jpg,10,20,110,220

`file` is relative to the folder of the table, or absolute; the box is in pixels of the upright original image,
half-open (xmax and ymax are one past the last pixel). Columns are found by their names, others are ignored, and a
image may have several lines or none.
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
# Folder names that mean a split to their owner; taking them for classes would train a model to tell splits apart.
_LIKE_SPLITS = {*SPLITS, "training", "val", "valid", "dev", "testing"}


class _Image(NamedTuple):
    name: str  # path below root
    path: str
    class_name: str
    folder: str  # the split folder that holds it, "" in the layout without


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

    Where fractions divide the images, each one is placed by a hash of its name: every class is divided in the same
    proportions, up to chance, and adding or removing an image never moves another.

    Args:
      split: 'train' (without boxes), 'validation' or 'test' (with boxes where there is a table).
      root: the folder; see the head of this file for its layouts.
      boxes_csv: file name of the tables; None for none. A name other than boxes.csv must exist.
      validation_fraction: share of the images (of train/, where there is one) that makes up the validation split.
      test_fraction: the same for the test split.
      split_seed: another seed makes another division.

    Returns:
      The images in order of name (their path below root, NFC). Class names are sorted, and are those of all splits.

    Raises:
      FileNotFoundError: if root, or a table that was asked for by name, is missing.
      UserError: for an unknown split, a path that is none, a folder that can't be read or fits neither layout, classes
        whose names look the same, a wrong fraction, a malformed table, or a split without images.
    """
    root = _files.folder(root, split, plugin="image_folder", layout="a folder of images for each class")
    if boxes_csv is not None:
        paths.local(boxes_csv, "image_folder: boxes_csv")
    folders = _split_folders(root)
    shares = _shares(folders, validation_fraction, test_fraction)
    images = _images(root, folders, boxes_csv)
    chosen = [p for p in images if _split_of(p, shares, split_seed) == split]
    if not chosen:
        advice = "" if split == "train" else f" Set {split}_fraction, or make a folder {split}/."
        raise MissingSplit(f"{root}: the {split} split has no images.{advice}")
    class_names = sorted({p.class_name for p in images})
    _expect_no_twins(root, class_names)
    absent = sorted(set(class_names) - {p.class_name for p in chosen})
    if absent:
        logging.warning("%s: the %s split has no image of %s.", root, split, ", ".join(absent[:8]))
    label_of = {name: label for label, name in enumerate(class_names)}
    boxes = None
    if split != "train" and boxes_csv is not None:
        boxes = _boxes(root, boxes_csv, folders, chosen, known={p.name for p in images})
    return Source(
        class_names=class_names,
        images=[p.path for p in chosen],
        names=[p.name for p in chosen],
        labels=np.array([label_of[p.class_name] for p in chosen], np.int32),
        boxes=boxes,
    )


def _split_folders(root: pathlib.Path) -> tuple[str, ...]:
    """Returns the split folders below root; () in the layout without."""
    names = image_files.scan(root).folders
    if names and set(names) <= set(SPLITS):
        return tuple(names)
    if set(names) & set(SPLITS) or (names and {name.lower() for name in names} <= _LIKE_SPLITS):
        raise UserError(
            f"{root}: expected a folder for each class, or only folders named {', '.join(SPLITS)}, got a mixture: "
            f"{', '.join(names[:8])}; rename what is meant otherwise."
        )
    return ()


def _shares(folders: Sequence[str], validation: float, test: float) -> dict[str, float]:
    """Returns {split: share of the images that a hash gives to it}."""
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
    # Validation from the low end, test from the high end: changing one share does not disturb the other split.
    if place < shares["validation"]:
        return "validation"
    return "test" if place >= 1 - shares["test"] else "train"


def _images(root: pathlib.Path, folders: Sequence[str], table: str | None) -> list[_Image]:
    """Returns the images of all splits, sorted by name."""
    images: dict[str, _Image] = {}
    ignored = []
    for folder in folders or ("",):
        found = _files.find(root / folder)
        prefix = f"{folder}/" if folder else ""
        # Table and images that lie in no folder of a class, and what is no image.
        ignored += [prefix + file for file in found.others if file.rsplit("/", 1)[-1] != table]
        ignored += [prefix + file for file in found.images if "/" not in file]
        for file in found.images:
            if "/" not in file:
                continue
            path = f"{root}/{prefix}{file}"
            # Composed characters everywhere: the same tree gets the same names, order and splits on every file system.
            name = prefix + unicodedata.normalize("NFC", file)
            try:
                name.encode()
            except UnicodeEncodeError:
                raise UserError(f"{path!r}: expected a name in UTF-8; rename the file or its folder.") from None
            if name in images:
                raise UserError(f"{path}: another file's name differs only in its Unicode form; rename one.")
            images[name] = _Image(name, path, name.split("/")[1 if folder else 0], folder)
    if ignored:
        what = "files that are no images in the folder of a class"
        logging.info("%s: ignored %d %s, such as %r.", root, len(ignored), what, ignored[0])
    if not images:
        raise UserError(
            f"{root}: expected images ({', '.join(image_files.SUFFIXES)}) in a folder for each class, got none among "
            f"{len(ignored)} files."
        )
    return [images[name] for name in sorted(images)]


def _expect_no_twins(root: pathlib.Path, class_names: Sequence[str]) -> None:
    """Raises UserError if two classes look the same: a slip in a folder's name would divide a class in two."""
    first: dict[str, str] = {}
    for name in class_names:
        other = first.setdefault(name.strip(), name)
        if other != name:
            raise UserError(f"{root}: the folders {other!r} and {name!r} differ in spaces only; rename or merge them.")


def _boxes(
    root: pathlib.Path, table: str, folders: Sequence[str], chosen: Sequence[_Image], known: set[str]
) -> list[np.ndarray] | None:
    """Returns float32 [M, 4] for each chosen image; None where no table stands above them."""
    if table != _TABLE and not any(_is_table(root / folder / table) for folder in ("", *folders)):
        raise FileNotFoundError(f"{root / table}: no such file, nor one in a split folder; correct boxes_csv.")
    of: dict[str, list[list[float]]] = {}
    found = False
    for folder in sorted({"", chosen[0].folder}):  # the images of one split all come from one folder
        path = root / folder / table
        if _is_table(path):
            found = True
            for name, box in _box_table.read(path, prefix=folder, known=known):
                of.setdefault(name, []).append(box)
    if not found:
        return None
    without = sum(p.name not in of for p in chosen)
    if without:
        logging.info("%s: %d of %d images have no box in %s.", root, without, len(chosen), table)
    return [np.array(of.get(p.name, []), np.float32).reshape(-1, 4) for p in chosen]


def _is_table(path: pathlib.Path) -> bool:
    """Returns whether there is a table; raises UserError if something else has its name."""
    if path.is_file():
        return True
    if os.path.lexists(path):
        kind = "a folder" if path.is_dir() else "a link that leads nowhere, or no file"
        raise UserError(f"{path}: expected a table of boxes, got {kind}; rename or remove it, or set boxes_csv=None.")
    return False
