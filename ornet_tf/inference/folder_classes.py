"""Decides whether the folders of a folder of images are classes, and makes one class of images that have none."""
from __future__ import annotations

import os

from absl import logging

from ornet_tf import atomic_write
from ornet_tf.data import image_files, source
from ornet_tf.errors import UserError

ONE_CLASS = "object"  # of images without classes


def has_classes(folder: str) -> bool:
    """Returns whether the folders in a folder are classes: they are unless images lie in the folder itself.

    Raises:
      UserError: if the folders are those of splits.
    """
    found = image_files.scan(folder)
    if found.images:
        if found.folders:
            logging.warning(
                "%d images lie in %s itself, so its folders (%s, ...) are not taken for classes; if they are, move the "
                "images into them.", len(found.images), folder, found.folders[0],
            )
        return False
    if found.folders and {*found.folders} <= {*source.SPLITS}:
        raise UserError(
            f"Expected folders of classes in {folder}, got folders of splits; give one of them, or add --one_class."
        )
    return True


def link_as_one_class(folder: str, root: str) -> str:
    """Makes `root` a folder with one class, whose images are those of `folder`; returns it.

    Raises:
      OSError: if it can't be made.
    """
    link = os.path.join(root, ONE_CLASS)
    with atomic_write.explain_failures(f"{root} could not be made"):
        os.makedirs(root, exist_ok=True)
        if not os.path.lexists(link):
            os.symlink(folder, link)
    return root
