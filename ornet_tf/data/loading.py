"""Loads and checks the splits of the configured data set, and makes their evaluation batches."""
from __future__ import annotations

import tensorflow as tf
from ml_collections import ConfigDict

from ornet_tf import registry
from ornet_tf.data import checked_images, evaluation_pipeline, transforms
from ornet_tf.data.source import Source
from ornet_tf.errors import UserError


def load_source(config: ConfigDict, split: str) -> Source:
    """Loads a split of the configured data set without checking its images."""
    return registry.find("datasets", config.dataset.name)(split, **config.dataset.options.to_dict())


def load_split(config: ConfigDict, split: str) -> Source:
    """Loads and checks a split of the configured data set; see `load_checked`."""
    return load_checked(config, split).source


def load_checked(config: ConfigDict, split: str, records: dict[str, dict] | None = None) -> checked_images.Checked:
    """Loads a split of the configured data set and checks its images, and the boxes and masks that evaluation needs.

    Args:
      config: the whole configuration.
      split: the name of the split.
      records: the results of earlier checks, see `checked_images.check`.

    Raises:
      UserError: if the split is empty or can't be used.
    """
    source = load_source(config, split)
    if not len(source):
        raise UserError(f"config.dataset: expected images in the {split} split of {config.dataset.name}, got none.")
    options = config.evaluation
    return checked_images.check(
        source,
        split,
        broken_images=config.input.broken_images,
        metrics=options.metrics,
        is_measured=split in (options.split, options.threshold_split),
        records=records,
    )


def view_sizes(config: ConfigDict, *, random_crop: bool = False) -> dict[str, int]:
    """Returns "resize" and "crop" in pixels: those of the evaluation view, or of random crops for training.

    Both are equal if the view is the whole image.
    """
    crop, is_whole = config.input.crop, config.input.evaluation_view == "whole"
    return {"resize": crop if is_whole and not random_crop else config.input.resize, "crop": crop}


def view_extent(config: ConfigDict) -> list[float]:
    """Returns the part of an image that the evaluation view covers: [ymin, xmin, ymax, xmax] in fractions."""
    view = transforms.evaluation_view(**view_sizes(config))
    return transforms.boxes_out_of_view(tf.constant([0.0, 0.0, 1.0, 1.0]), view).numpy().tolist()


def evaluation_batches(config: ConfigDict, source: Source) -> tf.data.Dataset:
    """Returns the batches of `source` in the evaluation view, see `evaluation_pipeline.evaluation_batches`."""
    return evaluation_pipeline.evaluation_batches(
        source, batch_size=config.evaluation.batch_size, **view_sizes(config)
    )
