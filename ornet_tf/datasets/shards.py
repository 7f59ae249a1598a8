"""Loads a data set that `python -m ornet_tf.datasets shard` has copied into a few large TFRecord files.

    root/dataset.json, root/train.npz, root/train-00000-of-01282.tfrecord, ...

Names, labels, classes, boxes, masks and the order of the images are those of the original data set, and the encoded
files are unchanged. So training gets the same batches from both, unless `images_per_piece` is set.
"""
from __future__ import annotations

import dataclasses
import os

from ornet_tf.data import shard_index
from ornet_tf.data.source import Source
from ornet_tf.datasets import _files
from ornet_tf.errors import UserError


def load(split: str, *, root: str | os.PathLike, images_per_piece: int = 0) -> Source:
    """Returns one split of a data set in shards.

    Args:
      split: 'train', 'validation' or 'test'.
      root: the folder that the program has written.
      images_per_piece: how many images that lie behind each other training reads at once, such as 64 (7 MB of
        ImageNet), for disks that are slow with many small requests. Training then shuffles in windows, see
        `data/reading_order.py`, and has other batches. 0 reads one by one, in the order of the original data set.

    Returns:
      The images in the order of the original data set.

    Raises:
      FileNotFoundError: if root is missing.
      MissingSplit: if the original data set has no such split.
      UserError: for an unknown split, a negative number, or a folder that is not complete or damaged.
    """
    folder = _files.check_folder(root, split, plugin="shards", layout="the --output of ornet_tf.datasets shard")
    if images_per_piece < 0:
        raise UserError(f"shards: expected images_per_piece to be at least 0, got {images_per_piece}.")
    return dataclasses.replace(shard_index.read_split(folder, split), images_per_piece=images_per_piece)
