"""Draws data sets in the layouts and the numbers of CUB-200-2011 and ImageNet, for rehearsals without the real ones.

An image is noise with a disc in the colour of its class; its box is that of the disc.
"""
from __future__ import annotations

import os
import pathlib

import h5py
import numpy as np
from PIL import Image, ImageDraw

CUB_CLASSES = 200
IMAGENET_CLASSES = 1000
SYNSETS, SOLUTION = "LOC_synset_mapping.txt", "LOC_val_solution.csv"
_FULL = 194  # classes of CUB with 30 images for training and 29 for testing; the others have 29 and 28
_DRAWN = 5  # training images of a class of ImageNet; the others are hard links to them
_BOX = "<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>"


def cub_split(split: int) -> list[int]:
    """Returns the class of each image of CUB for training (1) or testing (0), counted from 0."""
    return [label for label in range(CUB_CLASSES) for _ in range(28 + split + (label < _FULL))]


def draw_cub(root: pathlib.Path, width: int, height: int) -> None:
    """Draws CUB's 11,788 images and writes its lists."""
    names = [f"{label + 1:03d}.Drawn_{label + 1}" for label in range(CUB_CLASSES)]
    rng = np.random.default_rng(0)
    lists: dict[str, list[str]] = {
        "classes.txt": [f"{label + 1} {name}" for label, name in enumerate(names)],
        "images.txt": [], "image_class_labels.txt": [], "train_test_split.txt": [], "bounding_boxes.txt": [],
    }  # fmt: skip
    labels = sorted((label, split) for split in (0, 1) for label in cub_split(split))
    for number, (label, split) in enumerate(labels, start=1):
        file = f"{names[label]}/drawn_{number:05d}.jpg"
        x, y, side = _draw(label, rng, root / "images" / file, width, height)
        lists["images.txt"].append(f"{number} {file}")
        lists["image_class_labels.txt"].append(f"{number} {label + 1}")
        lists["train_test_split.txt"].append(f"{number} {split}")
        lists["bounding_boxes.txt"].append(f"{number} {x}.0 {y}.0 {side}.0 {side}.0")
    for name, lines in lists.items():
        (root / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def draw_imagenet(root: pathlib.Path, width: int, height: int, train: int, val: int) -> None:
    """Makes Kaggle's folders of ImageNet with `train` and `val` images of 1,000 classes, and an XML file for each.

    Five training images of a class are drawn. The others are hard links to them, and so are their XML files.
    """
    rng = np.random.default_rng(0)
    wnids = [f"n{1440764 + 13 * label:08d}" for label in range(IMAGENET_CLASSES)]
    images, boxes = root / "Data", root / "Annotations"

    def draw(label: int, file: str) -> None:
        x, y, side = _draw(label, rng, images / f"{file}.JPEG", width, height)
        box = _BOX.format(x, y, x + side - 1, y + side - 1)
        _write(boxes / f"{file}.xml", f"<annotation><object><name>{wnids[label]}</name>{box}</object></annotation>")

    for label, wnid in enumerate(wnids):
        count = train // IMAGENET_CLASSES + (label < train % IMAGENET_CLASSES)
        files = [f"train/{wnid}/{wnid}_{number}" for number in range(count)]
        for file in files[:_DRAWN]:
            draw(label, file)
        for number, file in enumerate(files[_DRAWN:]):
            for path, suffix in ((images, "JPEG"), (boxes, "xml")):
                os.link(f"{path}/{files[number % _DRAWN]}.{suffix}", f"{path}/{file}.{suffix}")
    rows = ["ImageId,PredictionString"]
    for number in range(val):
        label, name = number % IMAGENET_CLASSES, f"ILSVRC2012_val_{number + 1:08d}"
        draw(label, f"val/{name}")
        rows.append(f"{name},{wnids[label]} 0 0 9 9 ")  # the XML files have the boxes
    _write(root / SYNSETS, "".join(f"{wnid} drawn {wnid}\n" for wnid in wnids))
    _write(root / SOLUTION, "\n".join(rows) + "\n")


def write_random_vgg16(path: str) -> None:
    """Writes random weights of VGG16 with its fully connected head, in the layout of Keras' weights file."""
    from ornet_tf.compat import keras  # late, as importing TensorFlow takes seconds

    layers = [layer for layer in keras.applications.VGG16(weights=None).layers if layer.weights]
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name for layer in layers]
        for layer in layers:
            group = file.create_group(layer.name)
            group.attrs["weight_names"] = [variable.name.split("/")[-1] for variable in layer.weights]
            for name, values in zip(group.attrs["weight_names"], layer.get_weights()):
                group[name] = values


def _draw(label: int, rng: np.random.Generator, path: pathlib.Path, width: int, height: int) -> tuple[int, int, int]:
    """Draws noise and a disc in the colour of a class; returns the disc's left, top and side in pixels."""
    image = Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))
    side = int(rng.integers(min(width, height) // 3, min(width, height) // 2))
    x, y = int(rng.integers(0, width - side)), int(rng.integers(0, height - side))
    colour = (label * 37 % 256, label * 91 % 256, label * 151 % 256)
    ImageDraw.Draw(image).ellipse((x, y, x + side - 1, y + side - 1), fill=colour)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, "JPEG", quality=90)
    return x, y, side


def _write(path: pathlib.Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
