"""The splits that an evaluation measures and chooses thresholds on: fit for it, and apart from what was trained on."""
from __future__ import annotations

import dataclasses

from absl import logging
from ml_collections import ConfigDict

from ornet_tf.data import loading, masks
from ornet_tf.data.checked_images import Checked
from ornet_tf.errors import UserError
from ornet_tf.runs import training_data


def load(config: ConfigDict, split: str) -> Checked:
    """Loads a split and checks its images and boxes; with masks if a metric needs them.

    Raises:
      UserError: if it has none then, or some of all these can't be used.
    """
    checked = loading.load_checked(config, split)
    needing = masks.metrics_that_need_masks(config.evaluation.metrics)
    if needing and checked.source.masks is None:
        raise UserError(
            f"config.evaluation.metrics: {needing[0]} needs masks, and the {split} split of {config.dataset.name} "
            "has none; leave it out."
        )
    return checked if needing else checked._replace(source=dataclasses.replace(checked.source, masks=None))


def check(checked: Checked, split: str, workdir: str) -> int | None:
    """Checks that a run can be measured on a split; returns how many of its images the run was trained on, if known.

    Raises:
      UserError: if it has other classes than the run, or training images that are no longer in the training split.
    """
    if list(checked.source.class_names) != training_data.class_names(workdir):
        raise UserError(f"The {split} split has other classes than the run in {workdir} was trained on.")
    boxes = checked.source.boxes or []
    if without := [name for name, some in zip(checked.source.names, boxes) if not len(some)]:
        logging.warning("%d of %d images of %s have no box, such as %s: localization is not measured on them.",
                        len(without), len(boxes), split, without[0])
    return training_data.check_apart(workdir, split, checked)
