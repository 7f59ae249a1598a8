"""Checks the order of the classes where a phase keeps the outputs of a public network."""
from __future__ import annotations

import re
from collections.abc import Collection

import numpy as np
from ml_collections import ConfigDict

from ornet_tf.data.source import Source
from ornet_tf.errors import UserError

_OUTPUTS = "predictions"  # the backbones' layer of logits
_SYNSET = re.compile(r"n\d{8}")
_FOLDER = re.compile(r"(?:^|/)(n\d{8})/")


def check(config: ConfigDict, source: Source, pretrained: Collection[str]) -> None:
    """Checks that labels mean what the outputs of a network mean that a phase of 0 epochs does not train.

    The outputs of networks trained on ImageNet are in the ascending order of the classes' synset ids. The order can be
    checked if the names of the classes, or the folders of all images, are such ids.

    Args:
      config: the whole configuration.
      source: the training images.
      pretrained: names of the backbone's layers whose weights come from its file.

    Raises:
      UserError: if the order is another one.
    """
    kept = [name for name in config.phase_order if not config.phase[name].epochs]
    if not kept or _OUTPUTS not in pretrained:
        return
    synsets = _synsets_by_label(source)
    for before, name in zip(synsets, synsets[1:]):
        if name < before:
            raise UserError(
                "config.dataset: expected labels in the ascending order of the synset ids, which is that of the "
                f"pretrained outputs, got {name} after {before}. Sort the classes, or train the outputs: set "
                f"config.phase.{kept[0]}.epochs above 0."
            )


def _synsets_by_label(source: Source) -> list[str]:
    """Returns the synset ids in the order of the labels; of labels without images or a known id none."""
    if all(map(_SYNSET.fullmatch, source.class_names)):
        return list(source.class_names)
    found: dict[int, str] = {}
    for label, name in zip(np.asarray(source.labels).tolist(), source.names):
        folder = _FOLDER.search(name)
        if folder is None:
            return []
        found.setdefault(label, folder[1])
    return [found[label] for label in sorted(found)]
