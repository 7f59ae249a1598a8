"""Chooses the training images that are held out for validation, the same on every machine and in every version."""
from __future__ import annotations

import hashlib
import operator
from collections.abc import Hashable, Mapping
from typing import Any

from ornet_tf.errors import UserError


def choose(
    class_of: Mapping[Any, Hashable], per_class: int, seed: int, *, plugin: str, spare_small: bool = False
) -> set:
    """Returns the keys of the training images that make up the validation split.

    The choice in a class depends only on the seed and the keys of its images, not on other classes.

    Args:
      class_of: the class of each training image by its permanent key: its id, or its path in the data set.
      per_class: how many images of each class to choose.
      seed: another seed gives another choice.
      plugin: the name of the data set plug-in, for messages.
      spare_small: whether to choose none of a class with at most `per_class` images; else such a class is an error.

    Raises:
      UserError: unless `per_class` and `seed` are whole numbers and `per_class` is at least 0; or if a class would have
        no training image left.
    """
    per_class = _whole_number(per_class, "validation_per_class", plugin)
    seed = _whole_number(seed, "validation_seed", plugin)
    if per_class < 0:
        raise UserError(f"{plugin}: expected validation_per_class of at least 0, got {per_class}.")
    if not per_class:
        return set()
    by_class: dict[Hashable, list] = {}
    for key, class_id in class_of.items():
        by_class.setdefault(class_id, []).append(key)
    chosen: set = set()
    for class_id, keys in by_class.items():
        if per_class >= len(keys):
            if spare_small:
                continue
            raise UserError(
                f"{plugin}: expected validation_per_class below {len(keys)}, the number of training images of class "
                f"{class_id}, got {per_class}."
            )
        # A hash gives the same choice with all versions of NumPy, and for a part of the classes.
        keys.sort(key=lambda key: hashlib.sha256(f"{seed}/{key}".encode()).digest())
        chosen.update(keys[:per_class])
    return chosen


def _whole_number(value: Any, option: str, plugin: str) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise UserError(f"{plugin}: expected {option} to be a whole number, got {value!r}.") from None
