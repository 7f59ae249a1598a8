"""TensorBoard's event files, record by record: cut to the steps that a run goes on from, and read back."""
from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator

import tensorflow as tf

from ornet_tf import atomic_write

_PREFIX = "events.out.tfevents."
# TensorBoard reads every file with "tfevents" in its name: what is written aside must not double the points.
_ASIDE = "cut.partial"


def cut(folder: str, last_step: int) -> None:
    """Removes from all event files below a folder what was written of steps after `last_step`.

    A run that was killed leaves events of steps that it makes again, and perhaps half a record. A file is rewritten
    aside, record by record, and renamed; one in which nothing has to go stays untouched.

    Args:
      folder: TensorBoard's folder; it need not be there.
      last_step: the last step that stays.

    Raises:
      OSError: if a file can't be written; it stays as it was.
    """
    for path in paths(folder):
        if not _has_to_be_cut(path, last_step):
            continue
        aside = os.path.join(os.path.dirname(path), _ASIDE)
        try:
            with atomic_write.explain_failures(f"{path} could not be rewritten"):
                with tf.io.TFRecordWriter(aside) as writer:
                    for record in _records(path):
                        if tf.compat.v1.Event.FromString(record).step <= last_step:
                            writer.write(record)
                atomic_write.replace_file(aside, path)
        except OSError:
            if os.path.exists(aside):
                os.remove(aside)
            raise


def date_back(folder: str) -> None:
    """Renames event files, keeping their order, if a new file would sort before one: names begin with the time.

    TensorBoard reads files in the order of their names. Without this, its curves would jump where a run goes on within
    a second or on a machine whose clock is behind.
    """
    there = paths(folder)
    if there and os.path.basename(there[-1]) >= f"{_PREFIX}{int(time.time()):010d}":
        for number, path in enumerate(there):
            rest = os.path.basename(path)[len(_PREFIX) :].partition(".")[2]
            os.rename(path, os.path.join(os.path.dirname(path), f"{_PREFIX}{number:010d}.{rest}"))


def clear(folder: str) -> None:
    """Removes all event files below a folder."""
    for path in paths(folder):
        os.remove(path)


def scalars(folder: str) -> dict[str, list[tuple[int, float]]]:
    """Returns the scalar series below a folder: tag -> (step, value) pairs in the order in which they were written."""
    found: dict[str, list[tuple[int, float]]] = {}
    for step, value in _values(folder):
        if value.metadata.plugin_data.plugin_name == "scalars":
            found.setdefault(value.tag, []).append((step, float(tf.make_ndarray(value.tensor))))
    return found


def digests(folder: str) -> dict[str, list[tuple[int, str]]]:
    """Returns all series below a folder, scalars, images, histograms and text: tag -> (step, digest of its bytes)."""
    found: dict[str, list[tuple[int, str]]] = {}
    for step, value in _values(folder):
        digest = hashlib.sha256(value.tensor.SerializeToString(deterministic=True)).hexdigest()
        found.setdefault(value.tag, []).append((step, digest))
    return found


def paths(folder: str) -> list[str]:
    """Returns the event files below a folder in the order in which they were begun."""
    found = []
    for parent, _, names in os.walk(folder):
        found += [os.path.join(parent, name) for name in names if name.startswith(_PREFIX)]
    return sorted(found, key=os.path.basename)


def _records(path: str) -> Iterator[bytes]:
    """Reads the records of a file up to its end, or up to half a record."""
    try:
        yield from tf.data.TFRecordDataset(path).as_numpy_iterator()
    except tf.errors.DataLossError:
        return  # what a killed run was writing


def _has_to_be_cut(path: str, last_step: int) -> bool:
    whole = 0
    for record in _records(path):
        whole += len(record) + 16  # length, two checksums
        if tf.compat.v1.Event.FromString(record).step > last_step:
            return True
    return whole != os.path.getsize(path)


def _values(folder: str):
    for path in paths(folder):
        for record in _records(path):
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                yield event.step, value
