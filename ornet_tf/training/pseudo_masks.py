"""Learns the object prior of a phase from all training images, and caches their pseudo masks, before its first step."""
from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from absl import logging

from ornet_tf.data.scratch_file import ScratchArray
from ornet_tf.models.object_prior import ObjectPrior, shrink_mask
from ornet_tf.training.frozen_features import CachedFeatures, FrozenFeatures


def learn_prior(prior: ObjectPrior, cached: CachedFeatures, features: FrozenFeatures, labels: np.ndarray) -> None:
    """Learns the directions of a phase's object prior from the first view of each image; for arguments see `add`."""
    logging.info("Learning the object prior from %d images.", len(labels))

    def first_views():
        for low, last, label, images in _batches(cached, features, labels):
            yield low[:, 0], last[:, 0], label, images

    prior.learn(first_views)


def add(
    prior: ObjectPrior, cached: CachedFeatures, features: FrozenFeatures, labels: np.ndarray
) -> CachedFeatures:
    """Returns a phase's cached features with "pseudo_mask", float32 [b, h, w, 1], of each view of each image.

    Args:
      prior: the object prior of the phase.
      cached: the features of the phase, with "low_level_features" and "last_features".
      features: the features of the run, for their images.
      labels: integer [N], the label of each image.

    Raises:
      OSError: if the disk has too little space.
    """

    @tf.function(reduce_retracing=True)
    def compute(low_level, last, classes, images):
        masks = []
        for view in range(low_level.shape[1]):
            pixels = tf.reverse(images, [2]) if view else images
            mask = prior.pseudo_masks(low_level[:, view], last[:, view], classes, pixels)
            masks.append(shrink_mask(mask, *low_level.shape[2:4]))
        return tf.cast(tf.stack(masks, axis=1), tf.uint8)

    logging.info("Computing the pseudo masks of %d images.", len(labels))
    table, start = None, 0
    for batch in _batches(cached, features, labels):
        masks = compute(*batch).numpy()
        if table is None:
            shape = (len(labels), *masks.shape[1:])
            table = ScratchArray(
                shape, np.uint8, folder=features.folder, what="object_prior: the pseudo masks of all images",
                remedy="with another config.input.cache_dir",
            )
        table.array[start : start + len(masks)] = masks
        start += len(masks)
    return cached.with_table("pseudo_mask", table, tf.float32)


def _batches(
    cached: CachedFeatures, features: FrozenFeatures, labels: np.ndarray
) -> Iterator[tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]]:
    """Yields the features of all views, the labels and the images of all images."""
    start = 0
    for images in features.images():
        stop = start + len(images)
        found = cached.read(start, stop)
        classes = tf.constant(labels[start:stop], tf.int32)
        yield found["low_level_features"], found["last_features"], classes, images
        cached.release_memory()
        start = stop
