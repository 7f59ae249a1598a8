"""YOLO's text files, in the layout that CVAT ("Ultralytics YOLO Detection") and Ultralytics read.

    data.yaml             for CVAT: classes in the order of the run, and the list of images
    ultralytics.yaml      the same, and `val`, which Ultralytics asks for and CVAT would import as further images
    train.txt             ./images/train/NAME for each image
    images/train/NAME     a symbolic link to the image
    labels/train/NAME     with the ending .txt: for each box the class from 0, centre x, centre y, width and height in
                          fractions of the image; an empty file for an image without a box

Both readers find a label file by the path of its image: the ending is replaced, and so is `images`, which Ultralytics
takes from the end of the path. So the images must lie in this folder, as links; an inner folder `images` becomes
`images_`; and of `a.jpg` and `a.png` the second becomes `a_2.png`. The format has no place for scores: both readers
refuse a sixth column.
"""
from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable, Sequence

from ornet_tf.formats import Box, LocalizedImage, _output, on_disk

_IMAGES, _LABELS, _LIST = "images", "labels", "train.txt"
_VALIDATION = f"val: {_LIST}  # the training images once more: put the path of your validation images here\n"


def write(images: Iterable[LocalizedImage], class_names: Sequence[str], folder: str) -> None:
    """Writes the format; see `ornet_tf.formats`."""
    names = "".join(f"  {index}: {json.dumps(name, ensure_ascii=False)}\n" for index, name in enumerate(class_names))
    stems = _output.Stems()
    with _output.writing(folder) as output:
        for config, validation in (("data.yaml", ""), ("ultralytics.yaml", _VALIDATION)):
            with output.open(config) as file:
                file.write(f"train: {_LIST}\n{validation}names:\n{names}")
        with output.open(_LIST) as listed:
            for image in images:
                stem = stems.add(_without_inner_images(image.name))
                name = f"train/{stem}{posixpath.splitext(image.name)[1]}"
                output.link(f"{_IMAGES}/{name}", on_disk(image.file))
                listed.write(f"./{_IMAGES}/{name}\n")
                with output.open(f"{_LABELS}/train/{stem}.txt") as file:
                    file.writelines(map(_line, image.boxes))


def _without_inner_images(name: str) -> str:
    *folders, last = name.split("/")
    return "/".join([*(f"{part}_" if part == _IMAGES else part for part in folders), last])


def _line(box: Box) -> str:
    ymin, xmin, ymax, xmax = box.corners
    place = ((xmin + xmax) / 2, (ymin + ymax) / 2, xmax - xmin, ymax - ymin)
    return " ".join([str(box.class_index), *(f"{value:.6f}" for value in place)]) + "\n"
