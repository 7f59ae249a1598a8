"""Checks the order of the classes where a phase keeps the outputs of a public network."""
from __future__ import annotations

import re

import numpy as np

from ornet_tf.data.source import Source
from ornet_tf.errors import UserError

_SYNSET = re.compile(r"n\d{8}")
_FOLDER = re.compile(r"(?:^|/)(n\d{8})/")


def check(phase: str, source: Source) -> None:
    """Checks that labels mean what the pretrained outputs of a network mean, which a phase keeps.

    The outputs of networks trained on ImageNet are in the ascending order of the classes' synset ids. The order can be
    checked if the names of the classes, or the folders of all images, are such ids.

    Args:
      phase: the name of the phase.
      source: the training images.

    Raises:
      UserError: if the order is another one.
    """
    synsets = _synsets_by_label(source)
    for before, name in zip(synsets, synsets[1:]):
        if name <= before:
            raise UserError(
                "config.dataset: expected labels in the ascending order of the synset ids, which is that of the "
                f"pretrained outputs, got {name} after {before}. Sort the classes, or train the outputs: set "
                f"config.phase.{phase}.epochs above 0, and let its `trainable` match upper/predictions."
            )


def _synsets_by_label(source: Source) -> list[str]:
    """Returns the synset ids in the order of the labels; of labels without images or a known id none.

    Raises:
      UserError: if images of one label are in folders of two synsets.
    """
    if all(map(_SYNSET.fullmatch, source.class_names)):
        return list(source.class_names)
    found: dict[int, str] = {}
    for label, name in zip(np.asarray(source.labels).tolist(), source.names):
        folder = _FOLDER.search(name)
        if folder is None:
            return []
        if found.setdefault(label, folder[1]) != folder[1]:
            raise UserError(
                f"config.dataset: expected a synset for each label, got {found[label]} and {folder[1]} ({name}) for "
                f"the label {label}. Correct the labels."
            )
    return [found[label] for label in sorted(found)]
