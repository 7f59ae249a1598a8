"""PASCAL VOC's XML files, one for each image.

    Annotations/NAME.xml         the boxes of an image; without <object> if it has none
    ImageSets/Main/train.txt     the names of all images, without ending
    labelmap.txt                 the classes, for CVAT: a colon ends a name, and # begins a comment

VOC counts pixels from 1, and xmax and ymax are the last pixel of a box, so a box over a whole image of 500 x 375 is
1, 1, 500, 375. The format has no place for scores. `filename` is the path of the image below the folder that holds all
images. Of `a.jpg` and `a.png` the second is described in `a_2.xml`.
"""
from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from xml.etree import ElementTree

from ornet_tf.errors import UserError
from ornet_tf.formats import Box, LocalizedImage, _output


def write(images: Iterable[LocalizedImage], class_names: Sequence[str], folder: str) -> None:
    """Writes the format; see `ornet_tf.formats`.

    Raises:
      UserError: if labelmap.txt can't hold the name of a class.
    """
    for name in class_names:
        if ":" in name or name.strip().startswith("#"):
            raise UserError(
                f"--format=voc: expected names of classes without a colon that do not begin with #, as labelmap.txt "
                f"gives both a meaning, got {name!r}; choose another format, or train with another name."
            )
    stems = _output.Stems()
    with _output.writing(folder) as output:
        with output.open("labelmap.txt") as file:
            file.writelines(f"{name}:::\n" for name in class_names)  # no colour, parts or actions
        with output.open("ImageSets/Main/train.txt") as listed:
            for image in images:
                stem = stems.add(image.name)
                listed.write(f"{stem}\n")
                with output.open(f"Annotations/{stem}.xml") as file:
                    file.write(ElementTree.tostring(_annotation(image), encoding="unicode") + "\n")


def _annotation(image: LocalizedImage) -> ElementTree.Element:
    root = ElementTree.Element("annotation")
    _add(root, folder=posixpath.dirname(image.name), filename=image.name)
    _add(ElementTree.SubElement(root, "size"), width=image.width, height=image.height, depth=3)
    _add(root, segmented=0)
    for box in image.boxes:
        found = ElementTree.SubElement(root, "object")
        _add(found, name=box.class_name, pose="Unspecified", truncated=0, difficult=0)
        _add(ElementTree.SubElement(found, "bndbox"), **_inclusive(image, box))
    ElementTree.indent(root)
    return root


def _add(parent: ElementTree.Element, **children: object) -> None:
    for tag, content in children.items():
        ElementTree.SubElement(parent, tag).text = str(content)


def _inclusive(image: LocalizedImage, box: Box) -> dict[str, int]:
    """Returns the first and last pixels of a box, counted from 1; at least one pixel in each direction."""
    xmin, ymin, xmax, ymax = map(round, image.pixels(box))
    xmin, ymin = min(xmin, image.width - 1) + 1, min(ymin, image.height - 1) + 1
    return {"xmin": xmin, "ymin": ymin, "xmax": max(xmax, xmin), "ymax": max(ymax, ymin)}
