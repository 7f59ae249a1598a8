"""The files of a data set in shards, and the index that finds each image in them. It does not import TensorFlow.

    folder/plan.json                       what the folder is made of
    folder/train-00000-of-01282.tfrecord   a shard: each record is an encoded file, unchanged
    folder/test-masks-00000-of-00050.tfrecord
    folder/train.npz                       names, labels, boxes, and the place of each image and mask
    folder/dataset.json                    written last: a folder with it is complete
"""
from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ornet_tf import atomic_write
from ornet_tf.data.source import MissingSplit, Record, Source
from ornet_tf.errors import UserError

LAYOUT = 1  # raise it when the files change
PLAN = "plan.json"

_COMPLETE = "dataset.json"
_NO_MASK = "no-mask.tfrecord"  # never written: an image without a mask has a record in it
_AGAIN = "Start `python -m ornet_tf.datasets shard` with its options again."


def shard_path(folder: pathlib.Path, group: str, number: int, count: int) -> str:
    """Returns the path of a shard; `group` is the split, with "-masks" for masks."""
    return str(folder / f"{group}-{number:05d}-of-{count:05d}.tfrecord")


def no_mask(folder: pathlib.Path) -> Record:
    """Returns the record of an image that has no mask: it can't be found."""
    return Record(str(folder / _NO_MASK), 0, 0)


def is_complete(folder: pathlib.Path) -> bool:
    """Returns whether all splits have been written."""
    return (folder / _COMPLETE).is_file()


def write_split(folder: pathlib.Path, split: str, source: Source) -> None:
    """Writes the index of a split whose images and masks are records in `folder`.

    Raises:
      OSError: if it can't be written.
    """
    files = sorted({pathlib.Path(record.file).name for record in (*source.images, *(source.masks or ()))})
    texts = {"class_names": list(source.class_names), "names": list(source.names), "files": files}
    arrays = {"labels": np.asarray(source.labels, np.int32), "images": _places(source.images, files)}
    if source.boxes is not None:
        arrays["box_counts"] = np.array([len(boxes) for boxes in source.boxes], np.int32)
        arrays["boxes"] = np.concatenate([np.reshape(b, [-1, 4]) for b in source.boxes] + [np.zeros([0, 4])])
        arrays["boxes"] = arrays["boxes"].astype(np.float32)
    if source.masks is not None:
        arrays["masks"] = _places(source.masks, files)
    with atomic_write.open_file(folder / f"{split}.npz") as file:
        # JSON keeps names of any length, and those that are not UTF-8.
        np.savez(file, texts=np.frombuffer(json.dumps(texts).encode(), np.uint8), **arrays)


def write_complete(folder: pathlib.Path, splits: Mapping[str, Any]) -> None:
    """Marks a folder as complete.

    Args:
      folder: the folder.
      splits: for each split the number of its images, or the reason why it is missing.

    Raises:
      OSError: if the file can't be written.
    """
    with atomic_write.open_file(folder / _COMPLETE) as file:
        file.write(json.dumps({"layout": LAYOUT, "splits": splits}, indent=2).encode() + b"\n")


def read_split(folder: pathlib.Path, split: str) -> Source:
    """Returns a split of a complete folder.

    Raises:
      MissingSplit: if the data set has no such split.
      UserError: if the folder is not complete, or a file of the index is damaged.
    """
    if not is_complete(folder):
        raise UserError(f"{folder}: expected a complete data set in shards, got no {_COMPLETE} in it. {_AGAIN}")
    path = folder / _COMPLETE
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        if description["layout"] != LAYOUT:
            raise UserError(f"{folder}: expected shards of layout {LAYOUT}, got {description['layout']}. {_AGAIN}")
        if isinstance(description["splits"][split], str):
            raise MissingSplit(description["splits"][split])
        path = folder / f"{split}.npz"
        return _read_index(path)
    except UserError:
        raise
    except atomic_write.UNREADABLE as error:
        raise UserError(f"{path} can't be read ({error}). {_AGAIN}") from error


def _read_index(path: pathlib.Path) -> Source:
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as index:
        texts = json.loads(index["texts"].tobytes())
        boxes = masks = None
        if "boxes" in index:
            boxes = np.split(index["boxes"], np.cumsum(index["box_counts"])[:-1])
        files = [str(path.parent / name) for name in texts["files"]]
        if "masks" in index:
            masks = _records(index["masks"], files)
        images = _records(index["images"], files)
        return Source(texts["class_names"], images, texts["names"], index["labels"], boxes=boxes, masks=masks)


def _places(records: Sequence[Record], files: Sequence[str]) -> np.ndarray:
    """Returns the number of the file, offset and length of each record, int64 [N, 3]."""
    number_of = {name: number for number, name in enumerate(files)}
    rows = [(number_of[pathlib.Path(file).name], offset, length) for file, offset, length in records]
    return np.array(rows, np.int64).reshape(-1, 3)


def _records(places: np.ndarray, files: Sequence[str]) -> list[Record]:
    return [Record(files[number], offset, length) for number, offset, length in places.tolist()]
