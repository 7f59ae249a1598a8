"""Reads and decodes the images of a source by their index in the graph, and measures all of them."""
from __future__ import annotations

import os
import typing
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from absl import logging

from ornet_tf.data import decoding, main_memory, records, transforms
from ornet_tf.data.source import Record, Source


def parallel_map(dataset: tf.data.Dataset, function: Callable) -> tf.data.Dataset:
    """Applies a function to a dataset in parallel and in order; it must not use Python control flow on tensors."""
    # Without AutoGraph, which takes a second for each program.
    function = tf.autograph.experimental.do_not_convert(function)
    dataset = dataset.map(function, os.cpu_count(), deterministic=True)
    # Without tuning: the thread that tunes sleeps for longer and longer, up to a minute, and can miss the signal that
    # its iterator is deleted. The deletion then waits for it.
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def reader(source: Source, *, masks: bool = False) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns the function from an image's index, scalar int64, to the bytes of its file or mask, scalar string.

    Args:
      source: the images.
      masks: whether to read the masks instead of the images.

    Raises:
      TypeError: unless the files are all paths, all encoded files or all records.
    """
    field = "masks" if masks else "images"
    files = list(getattr(source, field))
    types = set(map(type, files))  # of few types there may be millions of files
    kinds = {next((kind for kind in (str, bytes, Record) if issubclass(each, kind)), None) for each in types}
    if None in kinds or len(kinds) > 1:
        expected = "must be all paths (str), all encoded files (bytes) or all records (Record)"
        raise TypeError(f"Source.{field} {expected}; got other types or a mixture.")
    if kinds == {Record}:
        return records.reader(files)
    files = main_memory.constant(files, tf.string)
    if kinds == {bytes}:
        return lambda index: files[index]
    return lambda index: tf.io.read_file(files[index])


def decoder(source: Source, *, side: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns the function from an image's index to uint8 [side, side, 3], read and decoded at each call."""
    read = reader(source)

    def decode(index):
        image, frame = decoding.decode_scaled(read(index), target_side=side)
        return transforms.resize_image(image, side, frame)

    return decode


class Measurements(typing.NamedTuple):
    """Sizes and digests of the N images of a source.

    Attributes:
      sizes: int64 [N, 2], height and width of the upright images; zeros for broken images.
      broken: (name, reason) of each image that can't be used, in the order of the source.
      digests: int64 [N], of the upright pixels; names and lossless compression of the files don't matter. Zeros if only
        headers were read.
    """

    sizes: np.ndarray
    broken: list[tuple[str, str]]
    digests: np.ndarray


def measure(source: Source, *, headers_only: bool = False) -> Measurements:
    """Reads and decodes every image of a source, in parallel.

    Args:
      source: the images.
      headers_only: whether to read only the headers; damage behind them is then not found.
    """

    def size_and_digest(encoded):
        if headers_only:
            return tf.concat([decoding.read_size(encoded), [0]], axis=0)
        image = decoding.decode(encoded)
        return tf.concat([tf.shape(image, tf.int64)[:2], _digest(image)[tf.newaxis]], axis=0)

    values, failed = examine(source, size_and_digest, count=3)
    return Measurements(values[:, :2], [(source.names[index], reason) for index, reason in failed], values[:, 2])


def _digest(image: tf.Tensor) -> tf.Tensor:
    """Returns FarmHash64 of an image's pixels and shape, scalar int64; it is the same on every machine."""
    pixels = tf.bitcast(tf.fingerprint(tf.reshape(image, [1, -1]))[0], tf.int64)
    height, width, _ = tf.unstack(tf.shape(image, tf.int64))
    return tf.bitwise.bitwise_xor(pixels, height * 2**32 + width)


def name_digests(names: Sequence[str]) -> np.ndarray:
    """Returns FarmHash64 of each name, int64 [N], the same on every machine."""
    encoded = main_memory.constant([os.fsencode(name) for name in names], tf.string)
    return tf.strings.to_hash_bucket_fast(encoded, 2**63 - 1).numpy()


def examine(
    source: Source, function: Callable[[tf.Tensor], tf.Tensor], *, count: int, masks: bool = False
) -> tuple[np.ndarray, list[tuple[int, str]]]:
    """Computes integers from every image of a source, or from every mask, in parallel.

    Args:
      source: the images.
      function: maps an encoded file, scalar string, to integers [K]; the first of them is never 0.
      count: K.
      masks: whether to read the masks instead of the images.

    Returns:
      int64 [N, K], zeros for files that can't be used; and (index, reason) of each of these files, in order.
    """
    read = reader(source, masks=masks)
    order = main_memory.constant(records.stored_order(source.masks if masks else source.images), tf.int64)

    def examine_file(index):
        return index, function(read(index))

    values = np.zeros([len(source), count], np.int64)
    examined = parallel_map(tf.data.Dataset.range(len(source)), lambda row: examine_file(order[row]))
    for indices, batch in examined.ignore_errors().batch(256).as_numpy_iterator():
        values[indices] = batch
    failed = []
    for index in np.flatnonzero(values[:, 0] == 0).tolist():
        try:
            examine_file(tf.constant(index, tf.int64))  # eagerly, because errors are more precise then
            reason = "could be read only at the second attempt"
        except tf.errors.OpError as error:
            reason = decoding.refusal_reason(error)
        failed.append((index, reason))
    logging.info("Checked %d %s; %d cannot be used.", len(source), "masks" if masks else "images", len(failed))
    return values, failed
