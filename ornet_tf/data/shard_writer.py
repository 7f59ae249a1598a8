"""Copies the splits of a data set to shards, see `shard_index`; a conversion that was stopped continues.

Each shard is written under another name, read again, compared, and renamed. So a shard that exists is whole.
"""
from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf
from absl import logging

from ornet_tf import atomic_write, file_lock
from ornet_tf.data import decoding, image_cache, image_store, main_memory, shard_index
from ornet_tf.data.source import FRAME, Encoded, Record, Source
from ornet_tf.errors import UserError

_SHUFFLED = "train"  # the split whose images are stored in random order: neighbours are of different classes
_ORDER_SEED = 0


def write(sources: Mapping[str, Source | str], folder: pathlib.Path, *, images_per_shard: int) -> None:
    """Copies all splits of a data set.

    Args:
      sources: the source of each split, or the reason why the split is missing.
      folder: the folder of the shards: new, empty, or of the same conversion.
      images_per_shard: the number of images in a shard, except for the last one of a split.

    Raises:
      OSError: if a shard can't be written, or what was written differs when it is read again.
      UserError: if the folder has other content, the disk too little space, or an image can't be read.
    """
    plan = _plan(sources, images_per_shard)
    with atomic_write.explain_failures(f"{folder} could not be created"):
        folder.mkdir(parents=True, exist_ok=True)
    with file_lock.locked_folder(folder, str(folder)) as is_locked:
        if not is_locked:
            raise UserError(f"{folder}: another process is writing it. Wait for its end or choose another --output.")
        _claim(folder, plan)
        _check_space(sources, folder)
        for split, source in sources.items():
            if isinstance(source, Source):
                shard_index.write_split(folder, split, _copy(source, folder, split, images_per_shard))
        counts = {split: source if isinstance(source, str) else len(source) for split, source in sources.items()}
        shard_index.write_complete(folder, counts)


def _plan(sources: Mapping[str, Source | str], images_per_shard: int) -> str:
    """Returns a text that changes with everything that the content of the shards depends on."""
    parts = {}
    for split, source in sources.items():
        if isinstance(source, Source):
            parts[split] = [image_cache.fingerprint(source)]
            if source.masks is not None:
                parts[split] += [image_cache.fingerprint(dataclasses.replace(source, images=source.masks))]
    plan = {"layout": shard_index.LAYOUT, "images_per_shard": images_per_shard, "splits": parts}
    return json.dumps(plan, indent=2) + "\n"


def _claim(folder: pathlib.Path, plan: str) -> None:
    """Stores the plan in an empty folder, or compares it with the stored one.

    Raises:
      UserError: if the folder has other content.
    """
    path = folder / shard_index.PLAN
    if path.exists():
        if path.read_text(encoding="utf-8") != plan:
            raise UserError(
                f"{folder}: expected the shards of these images, got those of other images or of another "
                "--images_per_shard. Choose another --output, or remove the folder."
            )
        return
    others = sorted(set(os.listdir(folder)) - {f"{shard_index.PLAN}.partial"})
    if others:
        raise UserError(f"{folder}: expected a new or empty folder, got {others[0]!r} in it. Choose another --output.")
    with atomic_write.open_file(path) as file:
        file.write(plan.encode())


def _check_space(sources: Mapping[str, Source | str], folder: pathlib.Path) -> None:
    splits = [source for source in sources.values() if isinstance(source, Source)]
    needed = sum(_size(file) + sum(FRAME) for split in splits for file in (*split.images, *(split.masks or ())))
    needed -= sum(entry.stat().st_size for entry in os.scandir(folder) if entry.name.endswith(".tfrecord"))
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{folder}: the shards need {needed} more bytes ({needed / 2**30:.2f} GiB), and {free} are free. "
            "Free some space or choose another --output."
        )


def _size(file: Encoded) -> int:
    """Returns the size of an encoded file in bytes; 0 if it can't be found."""
    if isinstance(file, str):
        try:
            return tf.io.gfile.stat(file).length
        except tf.errors.OpError:
            return 0  # a missing mask; a missing image is reported when it is read
    return file.length if isinstance(file, Record) else len(file)


def _exists(mask: Encoded) -> bool:
    return isinstance(mask, bytes) or tf.io.gfile.exists(mask.file if isinstance(mask, Record) else mask)


def _copy(source: Source, folder: pathlib.Path, split: str, images_per_shard: int) -> Source:
    """Returns the split with records of `folder` in place of its files."""
    order = np.arange(len(source))
    if split == _SHUFFLED:
        order = np.random.default_rng(_ORDER_SEED).permutation(order)
    images = _copy_files(source, folder, split, order, images_per_shard)
    masks = None
    if source.masks is not None:
        of_masks = dataclasses.replace(source, images=source.masks)
        exists = np.array([_exists(mask) for mask in source.masks])
        masks = _copy_files(of_masks, folder, f"{split}-masks", order[exists[order]], images_per_shard)
    return dataclasses.replace(source, images=images, masks=masks)


def _copy_files(source: Source, folder: pathlib.Path, group: str, order: np.ndarray, per_shard: int) -> list[Record]:
    """Writes the missing shards of a group; returns the record of each image, `no_mask` for those not in `order`."""
    places = [shard_index.no_mask(folder)] * len(source)
    count = -(-len(order) // per_shard)
    for number in range(count):
        path = shard_index.shard_path(folder, group, number, count)
        part = order[number * per_shard : (number + 1) * per_shard]
        lengths = _read_lengths(path) if os.path.exists(path) else None
        if lengths is None or len(lengths) != len(part):
            lengths = _write_shard(path, source, part)
            logging.info("%s: %d of %d shards.", group, number + 1, count)
        offset = 0
        for index, length in zip(part, lengths):
            places[index] = Record(path, offset, length)
            offset += length + sum(FRAME)
    return places


def _write_shard(path: str, source: Source, part: np.ndarray) -> list[int]:
    """Writes a shard and returns the lengths of its files, in bytes."""
    failure, aside = f"{path} could not be written", f"{path}.partial"
    digests = []
    try:
        with atomic_write.explain_failures(failure), tf.io.TFRecordWriter(aside) as writer:
            for encoded in _read_files(source, part):
                writer.write(encoded)
                digests.append(hashlib.sha256(encoded).digest())
        with atomic_write.explain_failures(failure):
            _drop_from_memory(aside)
            lengths = _read_lengths(aside, digests)
            if lengths is None:
                raise OSError("what was read again differs from what was written")
            atomic_write.replace_file(aside, path)
    finally:
        pathlib.Path(aside).unlink(missing_ok=True)
    return lengths


def _read_files(source: Source, part: np.ndarray) -> Iterator[bytes]:
    read, indices = image_store.reader(source), main_memory.constant(part, tf.int64)
    files = image_store.parallel_map(tf.data.Dataset.range(len(part)), lambda row: read(indices[row]))
    number = 0
    try:
        for encoded in files.as_numpy_iterator():
            yield encoded
            number += 1
    except tf.errors.OpError as error:
        name = source.names[part[number]]
        raise UserError(
            f"{name} can't be copied: {decoding.refusal_reason(error)}. Repair it or remove it, and start again."
        ) from error


def _drop_from_memory(path: str) -> None:
    """Makes the system forget its copy of a file, so that the disk is read next."""
    atomic_write.flush_to_disk([path])
    if hasattr(os, "posix_fadvise"):
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _read_lengths(path: str, digests: Sequence[bytes] | None = None) -> list[int] | None:
    """Returns the lengths of all records in bytes; None if one is damaged or has another digest than `digests` say."""
    lengths, found = [], []
    try:
        for encoded in tf.data.TFRecordDataset(path, buffer_size=8 * 2**20).as_numpy_iterator():
            lengths.append(len(encoded))
            found.append(hashlib.sha256(encoded).digest() if digests is not None else b"")
    except tf.errors.DataLossError as error:
        logging.warning("%s is damaged: %s", path, error.message)
        return None
    return lengths if digests is None or found == digests else None
