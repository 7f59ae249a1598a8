"""Checks what a phase can learn from images of a single class."""
from __future__ import annotations

from collections.abc import Sequence

from absl import logging
from ml_collections import ConfigDict

from ornet_tf import registry
from ornet_tf.errors import UserError


def check(config: ConfigDict, class_names: Sequence[str]) -> None:
    """Finds phases that learn nothing if there is only one class.

    Losses that need several classes have the attribute `needs_classes`.

    Args:
      config: the whole configuration.
      class_names: the classes of the training images.

    Raises:
      UserError: if there is one class and no phase can learn from it. If only some phases can't, a warning is logged.
    """
    if len(class_names) != 1:
        return
    idle = [
        name for name in config.phase_order
        if config.phase[name].epochs and all(
            getattr(registry.find("losses", term.plugin), "needs_classes", False)
            for term in config.phase[name].losses.values() if term.weight
        )
    ]
    if len(idle) == len(config.phase_order):
        raise UserError(
            f"There is only one class, {class_names[0]!r}: {', '.join(idle)} would learn nothing, as the loss of a "
            "classifier is then always 0. Add images of another class, or use a loss that learns objects from "
            "features, as in configs/few_pictures.py."
        )
    if idle:
        logging.warning(
            "There is only one class, %r: %s will learn nothing, as the loss of a classifier is then always 0. The "
            "other phases learn objects from features.", class_names[0], ", ".join(idle)
        )
