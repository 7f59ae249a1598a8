"""Reads records of TFRecord files by their offset, in the graph, without Python for each image.

A record is read alone, by one read of its bytes, and its checksum is compared. So damage costs only its record.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from ornet_tf.data import main_memory
from ornet_tf.data.source import FRAME, Encoded, Record


def reader(records: Sequence[Record]) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns the function from the index of a record, scalar int64, to its content, scalar string.

    In the graph, the function fails with tf.errors.DataLossError for a damaged record, and with
    tf.errors.NotFoundError if its file is missing.
    """
    files, places = _places(records)
    files = main_memory.constant(files, tf.string)
    places = main_memory.constant(places, tf.int64)

    def read(index):
        file, offset, length = tf.unstack(places[index])
        # tf.data.TFRecordDataset has no argument for the offset.
        variant = tf.raw_ops.TFRecordDatasetV2(
            filenames=files[file][tf.newaxis], compression_type="", buffer_size=length + sum(FRAME),
            byte_offsets=offset[tf.newaxis],
        )
        dataset = tf.data.experimental.from_variant(variant, tf.TensorSpec([], tf.string))
        return dataset.take(1).get_single_element()

    return read


def stored_order(images: Sequence[Encoded]) -> np.ndarray:
    """Returns the indices of images in the order of their storage, int64 [N]: 0..N-1 unless they are records."""
    if not len(images) or not isinstance(images[0], Record):
        return np.arange(len(images))
    places = _places(images)[1]
    return np.lexsort((places[:, 1], places[:, 0]))


def _places(records: Sequence[Record]) -> tuple[list[str], np.ndarray]:
    """Returns the files in the order of their names, and int64 [N, 3]: number of the file, offset, length."""
    files = sorted({record.file for record in records})
    number_of = {file: number for number, file in enumerate(files)}
    rows = [(number_of[file], offset, length) for file, offset, length in records]
    return files, np.array(rows, np.int64).reshape(-1, 3)
