"""Reads the rows of a part, one after the other: the bytes of each image, or why there are none."""
from __future__ import annotations

import collections
import concurrent.futures
import itertools
import os
from collections.abc import Iterator, Sequence

from pyarrow import fs

from ornet_tf import paths
from ornet_tf.bulk import inputs, locations, shard_rows, statuses, tar_rows, tfrecord_rows
from ornet_tf.bulk.output_folder import OutputFolder
from ornet_tf.bulk.plan import Plan
from ornet_tf.bulk.shard_rows import Row

_READERS = 8  # files that are read at once; a store answers a request after some 50 ms
_FILES = 4  # read by a call of a reader: a call costs as much as to open and read a file that is in memory
_AHEAD_BYTES = 64 * 2**20  # of files that are read ahead, if the next ones are like those before; at least two calls
_BATCH_BYTES = 32 * 2**20  # a batch with more bytes is complete, so that few large images are in memory

_OF_SHARDS = {
    inputs.PARQUET: shard_rows.read_parquet,
    inputs.WEBDATASET: tar_rows.read,
    inputs.TFRECORD: tfrecord_rows.read,
}


def read(plan: Plan, number: int, folder: OutputFolder) -> Iterator[Row]:
    """Yields the rows of a part in order.

    Raises:
      OSError: if the disk, the network or the store fails.
      UserError: if a shard lacks the named field.
    """
    part = plan.parts[number]
    if plan.kind == inputs.IMAGES:
        return _read_files(folder.read_files(number), plan.max_bytes)
    return _OF_SHARDS[plan.kind](part, shard_rows.Fields(plan.image_field, plan.key_field, plan.max_bytes))


def batches(rows: Iterator[Row], batch_size: int) -> Iterator[list[Row]]:
    """Yields the rows in lists of `batch_size`, or fewer if they are large, and reads the next while one is used."""
    with concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="rows") as pool:
        following = pool.submit(_take, rows, batch_size)
        while batch := following.result():
            following = pool.submit(_take, rows, batch_size)
            yield batch


def _take(rows: Iterator[Row], batch_size: int) -> list[Row]:
    batch, total = [], 0
    for row in itertools.islice(rows, batch_size):
        batch.append(row)
        total += len(row.content or b"")
        if total >= _BATCH_BYTES:
            break
    return batch


def _read_files(names: Sequence[str], max_bytes: int) -> Iterator[Row]:
    waiting: collections.deque[concurrent.futures.Future[list[Row]]] = collections.deque()
    ahead = 1  # calls beside the one whose rows are next; more if their files are small
    with concurrent.futures.ThreadPoolExecutor(_READERS, thread_name_prefix="files") as pool:
        for start in range(0, len(names), _FILES):
            waiting.append(pool.submit(_read_some, names[start : start + _FILES], max_bytes))
            if len(waiting) > ahead:
                some = waiting.popleft().result()
                ahead = max(1, min(_READERS, _AHEAD_BYTES // max(1, sum(len(row.content or b"") for row in some))))
                yield from some
        while waiting:
            yield from waiting.popleft().result()


def _read_some(names: Sequence[str], max_bytes: int) -> list[Row]:
    return [_read_file(name, max_bytes) for name in names]


def _read_file(name: str, max_bytes: int) -> Row:
    path = paths.readable(name)
    place = locations.locate(name, "--input") if "://" in name else None  # for a path it would take as long as reading
    is_local = place is None or place.is_local
    try:
        if not is_local:
            return _read_from_store(place, path, max_bytes)
        with open(place.path if place else name, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size <= max_bytes:
                return Row(path, path, file.read(size))
    except OSError as error:
        status = statuses.of_error(error, is_local)
        if not status:
            raise
        return Row(path, path, None, status, error.strerror or str(error))
    return shard_rows.too_large(path, path, size, max_bytes)


def _read_from_store(place: locations.Location, path: str, max_bytes: int) -> Row:
    info, = place.system.get_file_info([place.path])
    if info.type == fs.FileType.NotFound:
        return Row(path, path, None, statuses.MISSING, "no such file in the store")
    if info.type != fs.FileType.File:
        return Row(path, path, None, statuses.UNREADABLE, "a folder, or another entry that is no file")
    size = info.size or 0  # a few stores of fsspec do not tell it
    if size <= max_bytes:
        with place.system.open_input_stream(place.path, compression=None) as file:
            content = file.read(max_bytes + 1 if info.size is None else None)
        if len(content) < size:
            raise OSError(f"{path}: the store sent {len(content)} of {size} bytes.")
        if len(content) <= max_bytes:
            return Row(path, path, content)
        size = len(content)
    return shard_rows.too_large(path, path, size, max_bytes)
