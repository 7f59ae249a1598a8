"""Takes a validation split away from the training images, the same one on every machine and for every version."""
from __future__ import annotations

import hashlib
import operator
from collections.abc import Hashable, Mapping
from typing import Any

from ornet_tf.errors import UserError


def choose(
    class_of: Mapping[Any, Hashable], per_class: int, seed: int, *, plugin: str, spare_small: bool = False
) -> set:
    """Returns the training images that make up the validation split.

    Which of a class are chosen depends on the seed and their keys alone, not on the other classes.

    Args:
      class_of: the class of each training image, by a key that names it for good: its id, or its path in the data.
      per_class: how many images of each class to choose.
      seed: chooses them.
      plugin: the data set, for messages.
      spare_small: whether nothing is taken from classes that have no image more than that.

    Raises:
      UserError: unless `per_class` and `seed` are whole numbers, if `per_class` is negative, or would take the last
        training image of a class that is not spared.
    """
    per_class, seed = _whole(per_class, "validation_per_class", plugin), _whole(seed, "validation_seed", plugin)
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
        # A hash keeps the same choice for all versions of NumPy, and for a part of the classes.
        keys.sort(key=lambda key: hashlib.sha256(f"{seed}/{key}".encode()).digest())
        chosen.update(keys[:per_class])
    return chosen


def _whole(value: Any, option: str, plugin: str) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise UserError(f"{plugin}: expected {option} to be a whole number, got {value!r}.") from None
