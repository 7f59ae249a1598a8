"""Data sets of drawn images in single files, and the same ones in shards."""
from __future__ import annotations

import dataclasses

import numpy as np

from ornet_tf.data import shard_index, shard_writer
from ornet_tf.data.source import SPLITS, Source
from tests.data import drawn_images

BOXES = [np.array([[0, 0, 5, 6]], np.float32), np.zeros([0, 4], np.float32), np.array([[1, 1, 4, 4], [2, 0, 3, 9]])]


def single_files(folder, encode):
    """Writes ten images, and masks of those whose number 3 does not divide; returns their source, with boxes."""
    folder.mkdir(parents=True)
    for i, image in enumerate(drawn_images.draw()):
        (folder / f"{i:03d}.png").write_bytes(encode(image, ("PNG", "JPEG")[i % 2]))
        if i % 3:
            (folder / f"{i:03d}_mask.png").write_bytes(encode(np.full_like(image, 255)))
    return of_folder(folder)


def of_folder(folder, count=10):
    """Returns the source of the files that `single_files` has written."""
    names = [f"ünï\udce9/{i:03d}.png" for i in range(count)]
    paths = [folder / f"{i:03d}.png" for i in range(count)]
    masks = [folder / f"{i:03d}_mask.png" for i in range(count)]
    return Source(
        ["wren", "owl"], [str(p) for p in paths], names, np.arange(count) % 2,
        boxes=[np.asarray(BOXES[i % 3], np.float32) for i in range(count)], masks=[str(p) for p in masks],
    )


def write(source, folder, split="train", per_shard=4):
    """Writes `source` as the only split of a data set in shards; returns it read from there."""
    sources = {other: f"no {other}" for other in SPLITS} | {split: source}
    shard_writer.write(sources, folder, images_per_shard=per_shard)
    return shard_index.read_split(folder, split)


def without_extras(source):
    """Returns the source without boxes and masks."""
    return dataclasses.replace(source, boxes=None, masks=None)
