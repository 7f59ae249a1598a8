"""Loads a data set that `python -m ornet_tf.datasets shard` has copied into a few large TFRecord files.

    root/dataset.json, root/train.npz, root/train-00000-of-01282.tfrecord, ...

Names, labels, classes, boxes, masks and the order of the images are those of the original data set, and the encoded
files are unchanged. So training gets the same batches from both, and a run can change from one to the other.
"""
from __future__ import annotations

import os

from ornet_tf.data import shard_index
from ornet_tf.data.source import Source
from ornet_tf.datasets import _files


def load(split: str, *, root: str | os.PathLike) -> Source:
    """Returns one split of a data set in shards.

    Args:
      split: 'train', 'validation' or 'test'.
      root: the folder that the program has written.

    Returns:
      The images in the order of the original data set.

    Raises:
      FileNotFoundError: if root is missing.
      MissingSplit: if the original data set has no such split.
      UserError: for an unknown split, or a folder that is not complete or damaged.
    """
    folder = _files.check_folder(root, split, plugin="shards", layout="the --output of ornet_tf.datasets shard")
    return shard_index.read_split(folder, split)
