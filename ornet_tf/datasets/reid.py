"""Loads Market-1501, DukeMTMC-reID and MSMT17, data sets for person re-identification, in the layout of their archives.

    market1501   root/bounding_box_train/, bounding_box_test/, query/   0002_c1s1_000451_03.jpg
    dukemtmc     root/bounding_box_train/, bounding_box_test/, query/   0001_c2_f0046182.jpg
    msmt17       root/train/<id>/, test/<id>/ (mask_train_v2/, mask_test_v2/ in version 2), each image
                 0000_000_01_0303morning_0015_0.jpg; list_train.txt, list_val.txt, list_query.txt, list_gallery.txt

(Zheng et al., ICCV 2015; Ristani et al., ECCV Workshops 2016, and Zheng et al., ICCV 2017; Wei et al., CVPR 2018.) A
class is a person, named by the file name up to the first underscore. The images are crops of persons, without boxes.
"""
from __future__ import annotations

import os
import pathlib
import re
from typing import NamedTuple

import numpy as np
from absl import logging

from ornet_tf.data.source import MissingSplit, Source
from ornet_tf.datasets import _files, _held_out
from ornet_tf.errors import UserError

# In Market-1501, -1 marks images without a whole person, and 0000 distractors: persons that no query shows.
_NO_PERSON = {"market1501": ("-1", "0000"), "dukemtmc": (), "msmt17": ()}


class _Lists(NamedTuple):
    """The lists of a split of MSMT17, and the possible folders of its images, depending on the version."""

    files: tuple[str, ...]
    folders: tuple[str, ...]


_MSMT17 = {
    "train": _Lists(("list_train.txt",), ("train", "mask_train_v2")),
    "validation": _Lists(("list_val.txt",), ("train", "mask_train_v2")),
    "test": _Lists(("list_query.txt", "list_gallery.txt"), ("test", "mask_test_v2")),
}


def load(
    split: str,
    *,
    root: str | os.PathLike,
    layout: str = "market1501",
    validation_per_class: int = 0,
    validation_seed: int = 0,
) -> Source:
    """Returns one split of a data set for person re-identification.

    The persons of 'test' (query and gallery) are not those of 'train'. To measure a classifier, use 'validation', which
    has other images of the persons of 'train'. The choice of these images depends only on the seed and their names.

    Args:
      split: 'train', 'validation' or 'test'.
      root: the folder; the docstring of this module describes its layouts.
      layout: 'market1501', 'dukemtmc' or 'msmt17'. The images -1 and 0000 of Market-1501 (no whole person, distractors)
        are left out; in the other data sets 0000 is a person.
      validation_per_class: how many training images of each person make up the validation split; persons with no more
        images than that have none in it. It must be 0 for MSMT17, which has an official validation split, list_val.txt.
      validation_seed: another seed gives another validation split.

    Returns:
      The images sorted by name; their names are their paths below root. Class names are the identities in the file
      names, sorted. There are no boxes.

    Raises:
      FileNotFoundError: if a folder or a list is missing.
      UserError: for an unknown split or layout, a file name without identity, or a split without images.
    """
    folder = _files.check_folder(root, split, plugin="reid", layout="the folder of a re-identification data set")
    if layout not in _NO_PERSON:
        raise UserError(f"reid: expected layout to be one of {', '.join(_NO_PERSON)}, got {layout!r}.")
    if layout == "msmt17":
        if validation_per_class:
            raise UserError(f"reid: expected validation_per_class 0 for msmt17, got {validation_per_class!r}.")
        person_of = _identities(_read_lists(folder, split), layout, folder)
        classified = _identities(_read_lists(folder, "train"), layout, folder) if split == "validation" else person_of
    else:
        person_of = classified = _identities(_list_folders(folder, split), layout, folder)
        if split != "test":
            held_out = _held_out.choose(
                classified, validation_per_class, validation_seed, plugin="reid", spare_small=True
            )
            is_validation = split == "validation"
            person_of = {name: person for name, person in person_of.items() if (name in held_out) == is_validation}
    if not person_of:
        advice = " Set validation_per_class above 0." if split == "validation" else ""
        raise MissingSplit(f"{folder}: the {split} split has no images.{advice}")
    class_names = sorted(set(classified.values()))
    label_of = {person: label for label, person in enumerate(class_names)}
    names = sorted(person_of)
    unknown = sorted({person_of[name] for name in names} - set(class_names))
    if unknown:
        raise UserError(f"{folder}: expected only persons of the training split in {split}, got {unknown[0]}.")
    return Source(
        class_names=class_names,
        images=[f"{folder}/{name}" for name in names],
        names=names,
        labels=np.array([label_of[person_of[name]] for name in names], np.int32),
    )


def _list_folders(root: pathlib.Path, split: str) -> list[str]:
    """Returns the names of the images in the folders of Market-1501 and DukeMTMC-reID."""
    names = []
    for folder in ("query", "bounding_box_test") if split == "test" else ("bounding_box_train",):
        if not (root / folder).is_dir():
            raise FileNotFoundError(f"{root / folder}: no such folder; correct root, or set layout.")
        names += [f"{folder}/{file}" for file in _files.list_images(root / folder)]
    return names


def _read_lists(root: pathlib.Path, split: str) -> list[str]:
    """Returns the names of the images in the lists of MSMT17, whose lines are '<file> <number of the person>'."""
    lists = _MSMT17[split]
    folder = next((name for name in lists.folders if (root / name).is_dir()), None)
    if folder is None:
        raise FileNotFoundError(f"{root / lists.folders[0]}: no such folder; correct root, or set layout.")
    names = []
    for file in lists.files:
        for number, line in _files.read_lines(root / file, layout="a list of MSMT17's images"):
            words = line.split()
            if len(words) != 2 or not words[1].isdecimal():
                raise UserError(f"{root / file}, line {number}: expected '<file> <person>', got {line!r}.")
            path = _files.relative_path(words[0], root / folder, f"{root / file}, line {number}")
            names.append(f"{folder}/{path}")
    _files.check_unique(names, " and ".join(str(root / file) for file in lists.files))
    return names


def _identities(names: list[str], layout: str, root: pathlib.Path) -> dict[str, str]:
    """Returns {image: identity}, without images that show none of the persons."""
    person_of = {}
    for name in names:
        match = re.match(r"(-1|\d+)_", name.rsplit("/", 1)[-1])
        if match is None:
            raise UserError(f"{root / name}: expected a name that starts with an identity, such as 0002_c1s1_...jpg.")
        person_of[name] = match[1]
    kept = {name: person for name, person in person_of.items() if person not in _NO_PERSON[layout]}
    if len(kept) < len(person_of):
        logging.info("%s: left out %d images (-1 and 0000).", root, len(person_of) - len(kept))
    return kept
