"""Loads the splits of an evaluation, and checks that they are usable and separate from the training images."""
from __future__ import annotations

import dataclasses

from absl import logging
from ml_collections import ConfigDict

from ornet_tf.data import loading, masks
from ornet_tf.data.checked_images import Checked
from ornet_tf.errors import UserError
from ornet_tf.runs import training_data


def load(config: ConfigDict, split: str) -> Checked:
    """Loads a split, with masks if a metric needs them, and checks its images, boxes and masks.

    Raises:
      UserError: if masks are missing, or an image, a box or a mask can't be used.
    """
    checked = loading.load_checked(config, split)
    metrics = masks.metrics_that_need_masks(config.evaluation.metrics)
    if metrics and checked.source.masks is None:
        raise UserError(
            f"config.evaluation.metrics: {metrics[0]} needs masks, but the {split} split of {config.dataset.name} "
            f"has none; leave {metrics[0]} out."
        )
    return checked if metrics else checked._replace(source=dataclasses.replace(checked.source, masks=None))


def check(checked: Checked, split: str, workdir: str) -> int | None:
    """Checks that a run can be evaluated on a split.

    Returns:
      How many images of the split the run was trained on; None if that is unknown.

    Raises:
      UserError: if the split has other classes than the run, or contains images of the run's training split.
    """
    if list(checked.source.class_names) != training_data.class_names(workdir):
        raise UserError(
            f"The {split} split has other classes than the run in {workdir}; choose the data set it was trained on."
        )
    boxes = checked.source.boxes or []
    if without := [name for name, image_boxes in zip(checked.source.names, boxes) if not len(image_boxes)]:
        logging.warning("%d of %d images of %s have no box, such as %s. They count for classification only.",
                        len(without), len(boxes), split, without[0])
    return training_data.check_not_trained_on(workdir, split, checked)
