"""Loads ImageNet's classification and localization task (Russakovsky et al., IJCV 2015) from its archives' folders.

    root/train/<wnid>/*.JPEG             1,281,167 images of 1,000 classes
    root/val/*.JPEG, or val/<wnid>/*     50,000 images, the test split of the literature
    boxes/train/<wnid>/<image>.xml       boxes of about 40 % of the training images
    boxes/val/<image>.xml                boxes of all validation images, or val/<wnid>/<image>.xml

In Kaggle's archive, root is ILSVRC/Data/CLS-LOC and boxes is ILSVRC/Annotations/CLS-LOC. If val/ has no subfolders, its
images get their class from LOC_val_solution.csv (Kaggle), from the development kit, or from the XML files. A part of
the data set in the same layout can be used.

Boxes are in the frame of the stored image and are converted to that of the upright image, unless the <size> in the XML
file is the size of the upright image.
"""
from __future__ import annotations

import csv
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from absl import logging

from ornet_tf import paths
from ornet_tf.data import image_files
from ornet_tf.data.source import MissingSplit, Source
from ornet_tf.datasets import _files, _held_out, _matlab, _pascal_voc, _stored_frame
from ornet_tf.errors import UserError

_LAYOUT = "the folder that holds train/ and val/ (ILSVRC/Data/CLS-LOC in Kaggle's archive)"
_SOLUTION = "LOC_val_solution.csv"
_GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"


def load(
    split: str,
    *,
    root: str | os.PathLike,
    boxes: str | os.PathLike | None = None,
    val_labels: str | os.PathLike | None = None,
    synsets: str | os.PathLike | None = None,
    validation_per_class: int = 0,
    validation_seed: int = 0,
) -> Source:
    """Returns one split of ImageNet.

    The official test set has no public labels. So 'test' is val/, as in the literature, and 'validation' is held out of
    the training images: 'train' does not contain it. The choice depends only on the seed and the names of the images.

    Args:
      split: 'train' (without boxes), 'validation' or 'test' (with boxes where the data set has them).
      root: the folder that holds train/ and val/.
      boxes: the folder of the XML files. Without it, only the images of val/ have boxes, from LOC_val_solution.csv.
      val_labels: LOC_val_solution.csv, or the folder of the development kit (ILSVRC2012_devkit_t12), for the classes of
        the images if val/ has no subfolders. Without it, the classes come from the XML files.
      synsets: LOC_synset_mapping.txt, whose lines are '<wnid> <names>', for the classes and their names. Without it,
        the classes are the subfolders of train/, and the wnid is the name.
      validation_per_class: how many training images of each class make up the validation split.
      validation_seed: another seed gives another validation split.

    Returns:
      The images sorted by name; their names are their paths below root. Labels count in the order of the wnid.

    Raises:
      FileNotFoundError: if root, train/, val/ or the file of an option is missing.
      UserError: for an unknown split, a malformed file, an image without class, or a split without images.
    """
    folder = _files.check_folder(root, split, plugin="imagenet", layout=_LAYOUT)
    annotations = None if boxes is None else _check_exists(boxes, "boxes", "the folder of the XML files")
    if val_labels is not None:
        val_labels = _check_exists(val_labels, "val_labels", f"{_SOLUTION} or the development kit's folder")
    classes = _read_classes(folder, synsets)
    solution = _read_solution(val_labels)
    if split == "test":
        class_of = _list_val(folder, annotations, val_labels, solution)
    else:
        files = _files.list_images(_train_folder(folder), folders=True)
        class_of = {f"train/{file}": file.split("/")[0] for file in files}
        held_out = _held_out.choose(class_of, validation_per_class, validation_seed, plugin="imagenet")
        class_of = {name: w for name, w in class_of.items() if (name in held_out) == (split == "validation")}
    if not class_of:
        advice = " Set validation_per_class above 0." if split == "validation" else ""
        raise MissingSplit(f"{folder}: the {split} split has no images.{advice}")
    label_of = {wnid: label for label, wnid in enumerate(classes)}
    for name, wnid in class_of.items():
        if wnid not in label_of:
            raise UserError(f"{folder / name}: expected one of the {len(classes)} classes, got {wnid!r}.")
    names = sorted(class_of)
    return Source(
        class_names=list(classes.values()),
        images=[f"{folder}/{name}" for name in names],
        names=names,
        labels=np.array([label_of[class_of[name]] for name in names], np.int32),
        boxes=None if split == "train" else _read_boxes(folder, annotations, names, class_of, solution),
    )


def _check_exists(path: str | os.PathLike, option: str, expected: str) -> pathlib.Path:
    path = paths.local(path, f"imagenet: {option}")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder; expected {expected}.")
    return path


def _train_folder(root: pathlib.Path) -> pathlib.Path:
    if not (root / "train").is_dir():
        raise FileNotFoundError(f"{root / 'train'}: no such folder; expected root to be {_LAYOUT}.")
    return root / "train"


def _read_classes(root: pathlib.Path, synsets: str | os.PathLike | None) -> dict[str, str]:
    """Returns {wnid: name} of the classes, in the order of the wnid."""
    if synsets is None:
        return {wnid: wnid for wnid in image_files.scan(_train_folder(root)).folders}
    names = {}
    path = paths.local(synsets, "imagenet: synsets")
    for number, line in _files.read_lines(path, layout="LOC_synset_mapping.txt"):
        wnid, _, name = line.partition(" ")
        if not name or wnid in names:
            raise UserError(f"{path}, line {number}: expected '<wnid> <names>', each wnid once, got {line!r}.")
        names[wnid] = name.split(",")[0].strip()
    return dict(sorted(names.items()))


def _list_val(
    root: pathlib.Path,
    annotations: pathlib.Path | None,
    val_labels: pathlib.Path | None,
    solution: Mapping[str, tuple[str, np.ndarray]] | None,
) -> dict[str, str]:
    """Returns {name: wnid} of the images of val/."""
    if not (root / "val").is_dir():
        raise FileNotFoundError(f"{root / 'val'}: no such folder; expected root to be {_LAYOUT}.")
    if image_files.scan(root / "val").folders:
        return {f"val/{file}": file.split("/")[0] for file in _files.list_images(root / "val", folders=True)}
    stems = {f"val/{file}": os.path.splitext(file)[0] for file in _files.list_images(root / "val")}
    if solution is not None:
        wnid_of, where = {stem: wnid for stem, (wnid, _) in solution.items()}, val_labels
    elif val_labels is not None:
        wnid_of, where = _read_development_kit(val_labels), val_labels
    elif annotations:
        read = {stem: _pascal_voc.read(annotations / "val" / f"{stem}.xml") for stem in stems.values()}
        wnid_of, where = {stem: a.names[0] for stem, a in read.items() if a and a.names}, annotations / "val"
    else:
        raise UserError(
            f"imagenet: expected a subfolder for each class in {root / 'val'}, got none; set val_labels to {_SOLUTION}."
        )
    missing = [name for name, stem in stems.items() if stem not in wnid_of]
    if missing:
        raise UserError(f"{where}: expected the class of every image, got none for {missing[0]}.")
    return {name: wnid_of[stem] for name, stem in stems.items()}


def _read_solution(path: pathlib.Path | None) -> dict[str, tuple[str, np.ndarray]] | None:
    """Returns {image: (wnid, float32 [M, 4] boxes)} of LOC_val_solution.csv; None if `path` is no CSV file."""
    if path is None or path.suffix != ".csv":
        return None
    rows = {}
    for number, line in _files.read_lines(path, layout=_SOLUTION)[1:]:
        image, *rest = next(csv.reader([line]))
        if image in rows:
            raise UserError(f"{path}, line {number}: expected each image once, got {image!r} again.")
        words = rest[0].split() if rest else []
        try:
            corners = np.array(words, dtype=object).reshape(-1, 5)[:, [2, 1, 4, 3]].astype(np.float64)
            rows[image] = words[0], _pascal_voc.to_half_open(corners.tolist())
        except (ValueError, IndexError):
            form = "'<image>,<wnid> <xmin> <ymin> <xmax> <ymax> ...'"
            raise UserError(f"{path}, line {number}: expected {form}, got {line!r}.") from None
    return rows


def _read_development_kit(path: pathlib.Path) -> dict[str, str]:
    """Returns {image: wnid} of the validation images; the ground truth has class numbers, meta.mat their wnids."""
    folder = path / "data" if (path / "data").is_dir() else path
    meta = folder / "meta.mat"
    if not meta.is_file():
        raise FileNotFoundError(f"{meta}: no such file; expected val_labels to be the development kit's folder.")
    synsets = _matlab.read(meta, "synsets")
    try:
        wnid_of = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in synsets}
    except (TypeError, ValueError, IndexError):
        raise UserError(f"{meta}: expected synsets with ILSVRC2012_ID and WNID, got something else.") from None
    labels = {}
    for number, line in _files.read_lines(folder / _GROUND_TRUTH, layout="the development kit's ground truth"):
        if not line.isdecimal() or int(line) not in wnid_of:
            raise UserError(f"{folder / _GROUND_TRUTH}, line {number}: expected a number of meta.mat, got {line!r}.")
        labels[f"ILSVRC2012_val_{number:08d}"] = wnid_of[int(line)]
    return labels


def _read_boxes(
    root: pathlib.Path,
    annotations: pathlib.Path | None,
    names: Sequence[str],
    class_of: Mapping[str, str],
    solution: Mapping[str, tuple[str, np.ndarray]] | None,
) -> list[np.ndarray] | None:
    """Returns float32 [M, 4] for each image; None if no image has boxes."""
    boxes: dict[str, np.ndarray] = {}
    sizes: dict[str, tuple[int, int] | None] = {}
    for name in names:
        part, stem = name.split("/")[0], os.path.splitext(name.split("/")[-1])[0]
        if annotations is not None:
            path = annotations / part / class_of[name] / f"{stem}.xml"
            annotation = _pascal_voc.read(path)
            if annotation is None and part == "val":
                annotation = _pascal_voc.read(annotations / part / f"{stem}.xml")
            if annotation is not None:
                boxes[name], sizes[name] = annotation.boxes, annotation.size
        elif solution is not None and part == "val" and stem in solution:
            boxes[name] = solution[stem][1]
    if not boxes:
        return None
    if len(boxes) < len(names):
        logging.info("%s: %d of %d images have no boxes.", root, len(names) - len(boxes), len(names))
    # LOC_val_solution.csv has the boxes of the XML files, but no sizes.
    return _stored_frame.turn_boxes_upright(
        [f"{root}/{name}" for name in names], _files.select_boxes(names, boxes), what=str(root),
        sizes=None if annotations is None else [sizes.get(name) for name in names],
    )
