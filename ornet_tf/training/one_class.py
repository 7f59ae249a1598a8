"""What a run can learn from images of one class: not what tells classes apart."""
from __future__ import annotations

from collections.abc import Sequence

from absl import logging
from ml_collections import ConfigDict

from ornet_tf import registry
from ornet_tf.errors import UserError


def check(config: ConfigDict, class_names: Sequence[str]) -> None:
    """Looks for phases that learn nothing because there is one class only.

    A loss that learns nothing of the object without other classes says so by its attribute `needs_classes`.

    Args:
      config: the whole configuration.
      class_names: of the training images.

    Raises:
      UserError: if there is one class and no phase has a loss without that need whose weight is not 0. If one has, the
        others are logged.
    """
    if len(class_names) != 1:
        return
    idle = [
        name for name in config.phases
        if all(
            getattr(registry.find("losses", term.plugin), "needs_classes", False)
            for term in config.phase[name].losses.values() if term.weight
        )
    ]
    if len(idle) == len(config.phases):
        raise UserError(
            f"There is one class only, {class_names[0]!r}: {', '.join(idle)} would learn nothing, as a classifier's "
            "loss is 0 from the start. Add images of another class, or take a configuration with a loss that learns "
            "the object from features, as configs/few_pictures.py has."
        )
    if idle:
        logging.warning(
            "There is one class only, %r: %s will learn nothing, as a classifier's loss is 0 from the start; the "
            "other phases learn the object from features.", class_names[0], ", ".join(idle)
        )
