"""The order in which training reads images: a function of seed, epoch and position. Reads shards ahead.

One by one in random order, the system is told which records come next: it reads them while others are decoded, many at
a time and no byte more. Still these are small requests, which are slow on hard disks, and on network disks that limit
their requests. In windows, a piece is some images that lie behind each other in a shard, and a window is some
pieces from all over the data set. Pieces are shuffled in each epoch, and images within a window. While the images of
one window are decoded, the pieces of the next one are read as wholes; the system keeps them in the memory that no
program needs.
"""
from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from ornet_tf.data import main_memory, records
from ornet_tf.data.source import FRAME, Record, Source

PIECES = 64  # of a window
_ONE_BY_ONE = 256  # records that the system is told of at once
_ADVICE_BYTES = 2**17  # the system may cut off larger requests to read ahead
_READ_BYTES = 8 * 2**20  # at once
_ALL = 498247692  # the stream of index_shuffle
_GAP_BYTES = 2**20  # between two images that are read as one piece: a seek takes as long as reading that much
_Order = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def make(source: Source, seed: int) -> _Order:
    """Returns the function from epoch and position, int64 of equal shapes [] or [n], to the index of the image.

    In each epoch, every position 0..N-1 has another image.
    """
    if source.images_per_piece:
        return _in_windows(records.stored_order(source.images), seed, source.images_per_piece)
    return lambda epoch, position: _shuffle(position, len(source) - 1, seed, epoch, _ALL)


def _shuffle(place: tf.Tensor, last: tf.Tensor | int, seed: int, epoch: tf.Tensor, stream: tf.Tensor | int):
    """Returns what a permutation of 0..last, another one for each (seed, epoch, stream), has at places int64 [] or [n].

    Equal to `tf.random.experimental.index_shuffle` with `_ALL`, which does not take the seeds of several places.
    """
    seeds = tf.stack([tf.zeros_like(epoch) + stream, tf.zeros_like(epoch) + seed, epoch], axis=-1)
    return tf.raw_ops.RandomIndexShuffle(index=place, seed=seeds, max_index=tf.cast(last, tf.int64), rounds=4)


def _in_windows(stored: np.ndarray, seed: int, piece: int) -> _Order:
    count = len(stored)
    piece = min(piece, count)
    pieces, window = count // piece, piece * PIECES
    stored = main_memory.constant(stored, tf.int64)

    def index(epoch, position):
        def shuffle(place, last, stream):
            return _shuffle(place, last, seed, epoch, stream)

        # Pieces begin elsewhere in each epoch, so that they and the images behind the last whole piece differ.
        start = shuffle(tf.zeros_like(position), count - 1, 0)
        place = tf.minimum(position, pieces * piece - 1)
        number = place // window
        size = tf.minimum(pieces * piece - number * window, window)
        place = number * window + shuffle(place % window, size - 1, number + 2)
        nth = shuffle(place // piece, pieces - 1, 1)
        place = tf.where(position < pieces * piece, nth * piece + place % piece, position)
        return tf.gather(stored, (place + start) % count)

    return index


def read_ahead(source: Source, first: int, index_of: Callable[[tf.Tensor], tf.Tensor]) -> tf.data.Dataset:
    """Returns the dataset of the numbers from `first` on, whose images are read, group by group, before they come.

    Args:
      source: images that are records.
      first: the first number.
      index_of: the function from numbers, int64 [n], to the indices of their images.
    """
    images, group = source.images, source.images_per_piece * PIECES or _ONE_BY_ONE
    fetch = read_pieces if source.images_per_piece else announce

    def read_group(number):
        start = first + number * group
        indices = index_of(start + tf.range(group, dtype=tf.int64))
        read = tf.numpy_function(lambda rows: np.int64(fetch([images[i] for i in rows])), [indices], tf.int64)
        with tf.control_dependencies([read]):
            return tf.identity(start)

    groups = tf.data.Dataset.range(tf.int64.max).map(tf.autograph.experimental.do_not_convert(read_group))
    return groups.prefetch(1).flat_map(lambda start: tf.data.Dataset.range(start, start + group))


def read_pieces(images: Sequence[Record]) -> int:
    """Makes the system read records into its cache, neighbours at once. Returns the number of bytes that it read.

    A file that can't be read is left out: reading its images reports it.
    """
    spans: list[list] = []  # file, first byte, byte behind the last one
    for file, offset, length in sorted(images):
        end = offset + length + sum(FRAME)
        if spans and file == spans[-1][0] and offset - spans[-1][2] <= _GAP_BYTES:
            spans[-1][2] = max(end, spans[-1][2])
        else:
            spans.append([file, offset, end])
    read = 0
    for file, start, end in spans:
        with contextlib.suppress(OSError), open(file, "rb", buffering=0) as opened:
            opened.seek(start)
            while start < end and (content := opened.read(min(_READ_BYTES, end - start))):
                start += len(content)
                read += len(content)
    return read


def announce(images: Sequence[Record]) -> int:
    """Tells the system to read records, and does not wait. Returns their bytes; 0 where the system takes no advice."""
    told = 0
    for file, records_of_file in itertools.groupby(sorted(images), lambda record: record.file):
        with contextlib.suppress(OSError, AttributeError), open(file, "rb", buffering=0) as opened:
            for _, offset, length in records_of_file:
                end = offset + length + sum(FRAME)
                for start in range(offset, end, _ADVICE_BYTES):
                    os.posix_fadvise(opened.fileno(), start, min(_ADVICE_BYTES, end - start), os.POSIX_FADV_WILLNEED)
                told += end - offset
    return told
