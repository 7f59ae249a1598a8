"""Loads FGVC-Aircraft (Maji et al., 2013, arXiv:1306.5151), release 2013b, from a folder in the layout of its archive.

    root/data/images/<image>.jpg                  10,200 images
    root/data/images_<level>_<list>.txt             <image> <class>; level variant, family or manufacturer;
                                                    list train, val, trainval or test
    root/data/images_box.txt                        <image> <xmin> <ymin> <xmax> <ymax>

Boxes count pixels from 1, and xmax and ymax are the last pixel: a box over a whole image of 600 x 400 is 1 1 600 400.
The lowest 20 rows of every image are a banner with the name of the photographer; `banner_free` removes it.
"""
from __future__ import annotations

import concurrent.futures
import os
import pathlib

import numpy as np
from absl import logging
from PIL import Image, JpegImagePlugin

from ornet_tf import atomic_write, paths
from ornet_tf.data.pillow_errors import UNREADABLE
from ornet_tf.data.source import MissingSplit, Source
from ornet_tf.datasets import _files, _held_out, _stored_frame
from ornet_tf.errors import UserError

LEVELS = ("variant", "family", "manufacturer")
BANNER = 20  # rows
_LAYOUT = "root to hold data/images/ and data/images_variant_train.txt of FGVC-Aircraft"


def load(
    split: str,
    *,
    root: str | os.PathLike,
    level: str = "variant",
    validation_per_class: int | None = None,
    validation_seed: int = 0,
    banner_free: str | os.PathLike | None = None,
) -> Source:
    """Returns one split of FGVC-Aircraft.

    Args:
      split: 'train' (without boxes), 'validation' or 'test' (with one box for each image).
      root: the folder that holds data/ (fgvc-aircraft-2013b in the archive), or data/ itself.
      level: the kind of classes: 'variant' (100 classes), 'family' (70) or 'manufacturer' (30).
      validation_per_class: None for the official training and validation splits. With a number, the images of both are
        divided again, as in papers that train on both: this many images of each class are for validation, the others
        for training.
      validation_seed: another seed gives another validation split.
      banner_free: a folder for copies of the images without the banner, which are made once and need about as much
        space as the images. None to keep the banner.

    Returns:
      The images in the order of the lists; their names are their file names. Class names are sorted.

    Raises:
      FileNotFoundError: if a list or the folder of images is missing.
      UserError: for an unknown split or level, a malformed list, an image without box, or a split without images.
    """
    folder = _files.check_folder(root, split, plugin="fgvc_aircraft", layout=_LAYOUT)
    if level not in LEVELS:
        raise UserError(f"fgvc_aircraft: expected level to be one of {', '.join(LEVELS)}, got {level!r}.")
    folder = folder / "data" if (folder / "data").is_dir() else folder
    if not (folder / "images").is_dir():
        raise FileNotFoundError(f"{folder / 'images'}: no such folder; expected {_LAYOUT}.")
    lists = {name: _read_classes(folder / f"images_{level}_{name}.txt") for name in ("train", "val", "test")}
    class_names = sorted({name for images in lists.values() for name in images.values()})
    label_of = {name: label for label, name in enumerate(class_names)}
    chosen = lists[{"train": "train", "validation": "val", "test": "test"}[split]]
    if validation_per_class is not None and split != "test":
        both = {**lists["train"], **lists["val"]}
        held_out = _held_out.choose(both, validation_per_class, validation_seed, plugin="fgvc_aircraft")
        chosen = {image: name for image, name in both.items() if (image in held_out) == (split == "validation")}
    if not chosen:
        advice = " Set validation_per_class above 0, or to None." if split == "validation" else ""
        raise MissingSplit(f"{folder}: the {split} split has no images.{advice}")
    files = [f"{folder}/images/{image}.jpg" for image in chosen]
    if banner_free is not None:
        files = _copy_without_banner(files, banner_free)
    boxes = None
    if split != "train":
        # Copies without the banner have no EXIF data, so their boxes stay in the stored frame.
        boxes = _read_boxes(folder / "images_box.txt", list(chosen))
        boxes = _stored_frame.turn_boxes_upright(files, boxes, what=str(folder))
    return Source(
        class_names=class_names,
        images=files,
        names=[f"{image}.jpg" for image in chosen],
        labels=np.array([label_of[name] for name in chosen.values()], np.int32),
        boxes=boxes,
    )


def _read_classes(path: pathlib.Path) -> dict[str, str]:
    """Returns {image: class} in the order of a list."""
    classes: dict[str, str] = {}
    for number, line in _files.read_lines(path, layout=_LAYOUT):
        image, _, name = line.partition(" ")
        if not name or image in classes:
            raise UserError(f"{path}, line {number}: expected '<image> <class>', each once, got {line!r}.")
        classes[image] = name.strip()
    return classes


def _read_boxes(path: pathlib.Path, images: list[str]) -> list[np.ndarray]:
    """Returns float32 [1, 4] for each image, half-open and counted from 0."""
    box_of = {}
    for number, line in _files.read_lines(path, layout=_LAYOUT):
        image, *cells = line.split()
        try:
            xmin, ymin, xmax, ymax = map(float, cells)
        except ValueError:
            form = "'<image> <xmin> <ymin> <xmax> <ymax>'"
            raise UserError(f"{path}, line {number}: expected {form}, got {line!r}.") from None
        if image in box_of:
            raise UserError(f"{path}, line {number}: expected each image once, got {image!r} again.")
        # Pixels first..last, counted from 1, are first - 1..last half-open.
        box_of[image] = [[ymin - 1, xmin - 1, ymax, xmax]]
    for image in images:
        if image not in box_of:
            raise UserError(f"{path}: expected a line for each image, got none for {image}.")
    return _files.select_boxes(images, box_of)


def _copy_without_banner(files: list[str], folder: str | os.PathLike) -> list[str]:
    """Makes the missing copies without the banner; returns the paths of all copies."""
    target = paths.local(folder, "fgvc_aircraft: banner_free")
    with atomic_write.explain_failures(f"{target} could not be made"):
        target.mkdir(parents=True, exist_ok=True)
    copies = [str(target / os.path.basename(file)) for file in files]
    missing = [pair for pair in zip(files, copies) if not os.path.exists(pair[1])]
    if missing:
        logging.info("Writing %d images without the banner to %s.", len(missing), target)
        # Pillow releases the interpreter lock while it decodes and encodes.
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(lambda pair: _cut_banner(*pair), missing))
    return copies


def _cut_banner(path: str, copy: str) -> None:
    """Writes a copy without the banner. An unreadable file is copied unchanged: the check of all images reports it."""
    aside = f"{copy}.{os.getpid()}"
    options = {}
    try:
        with Image.open(path) as image:
            kind = image.format
            if kind == "JPEG":
                # With the same quantization tables and the same blocks of 8 x 8 pixels, the kept part hardly changes.
                sampling = JpegImagePlugin.get_sampling(image)
                options = {"qtables": image.quantization, "subsampling": sampling if sampling >= 0 else 0}
            kept = image.crop((0, 0, image.width, image.height - BANNER))
            kept.save(aside, kind, **options)  # fails also on damaged metadata
    except FileNotFoundError:
        return
    except UNREADABLE:
        with atomic_write.explain_failures(f"{copy} could not be written"):
            pathlib.Path(aside).write_bytes(pathlib.Path(path).read_bytes())
    with atomic_write.explain_failures(f"{copy} could not be written"):
        atomic_write.replace_file(aside, copy)
