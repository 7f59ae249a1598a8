"""Loads the splits of a configured data set, looks at their images, and makes evaluation batches of them."""
from __future__ import annotations

import tensorflow as tf
from ml_collections import ConfigDict

from ornet_tf import registry
from ornet_tf.data import checked_images
from ornet_tf.data.evaluation_pipeline import evaluation_batches as batches_of_truth
from ornet_tf.data.source import Source
from ornet_tf.errors import UserError


def load_source(config: ConfigDict, split: str) -> Source:
    """Loads a split of the configured data set without looking at its images."""
    return registry.find("datasets", config.dataset.name)(split, **config.dataset.options.to_dict())


def load_split(config: ConfigDict, split: str) -> Source:
    """Loads a split of the configured data set and checks its images, and boxes and masks that evaluation needs."""
    return load_checked(config, split).source


def load_checked(config: ConfigDict, split: str, known: dict[str, dict] | None = None) -> checked_images.Checked:
    """Does what `load_split` does, and returns what else is known then; see `checked_images.check` for `known`."""
    source = load_source(config, split)
    if not len(source):
        raise UserError(f"config.dataset: the {split} split of {config.dataset.name} is empty.")
    options = config.evaluation
    return checked_images.check(
        source,
        split,
        broken_images=config.input.broken_images,
        metrics=options.metrics,
        is_measured=split in (options.split, options.threshold_split),
        known=known,
    )


def evaluation_batches(config: ConfigDict, source: Source) -> tf.data.Dataset:
    """Returns the batches of `source` in the evaluation view."""
    return batches_of_truth(
        source, batch_size=config.evaluation.batch_size, resize=config.input.resize, crop=config.input.crop
    )
