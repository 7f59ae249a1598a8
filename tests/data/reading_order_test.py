"""The order of training images: permutations, windows of pieces, reading ahead."""
import dataclasses
import os

import numpy as np
import pytest
import tensorflow as tf

from ornet_tf.data import reading_order
from ornet_tf.data.source import FRAME, Record, Source
from tests.data import drawn_shards
from tests.data.input_pipeline_test import are_equal, indices, training


def source_of(count, piece, shuffled=True):
    """Records that are stored in random order; their files do not exist."""
    stored = np.random.default_rng(1).permutation(count) if shuffled else np.arange(count)
    places = np.argsort(stored)
    images = [Record("x.tfrecord", int(places[i]) * 100, 84) for i in range(count)]
    return Source(["a"], images, [str(i) for i in range(count)], np.zeros(count, int), images_per_piece=piece), stored


def epoch_order(source, epoch, seed=3):
    order = reading_order.make(source, seed)
    positions = tf.range(len(source), dtype=tf.int64)
    return order(tf.fill([len(source)], tf.constant(epoch, tf.int64)), positions).numpy()


@pytest.mark.parametrize(("count", "piece"), [(1, 1), (7, 0), (7, 3), (7, 100), (1000, 4), (1003, 5), (64 * 8, 8)])
def test_each_epoch_has_every_image_once_in_an_order_of_its_own(count, piece):
    source, _ = source_of(count, piece)
    orders = [epoch_order(source, epoch) for epoch in range(3)]
    for order in orders:
        assert sorted(order) == list(range(count))
    if count > 1:
        assert not np.array_equal(orders[0], orders[1])
        assert not np.array_equal(epoch_order(source, 0, seed=4), orders[0])


def test_one_by_one_the_order_is_that_of_tensorflow():
    source, _ = source_of(100, 0)
    expected = tf.random.experimental.index_shuffle(tf.range(100, dtype=tf.int64), [3, 7], tf.constant(99, tf.int64))
    assert epoch_order(source, 7).tolist() == expected.numpy().tolist()


def test_a_single_position_has_the_image_of_the_whole_order():
    source, _ = source_of(300, 2)  # three windows
    order, expected = reading_order.make(source, 3), epoch_order(source, 5)
    epoch = tf.constant(5, tf.int64)
    assert [int(order(epoch, tf.constant(i, tf.int64))) for i in range(20)] == expected.tolist()[:20]


def test_a_window_has_whole_pieces_from_all_over_the_data_set_in_mixed_order():
    piece, window = 5, 5 * reading_order.PIECES
    source, stored = source_of(3 * window, piece)
    place_of = np.argsort(stored)
    places = place_of[epoch_order(source, 1)].reshape(3, window)
    for row in places:
        ordered = np.sort(row)
        # A piece may begin at the end of the data set and end at its beginning.
        assert np.count_nonzero(np.diff(ordered) > 1) <= reading_order.PIECES
        assert ordered[0] < window and ordered[-1] > 2 * window
        assert np.count_nonzero(np.diff(row) == 1) < 10  # the images of a piece are not read one after another


@pytest.fixture
def shards(tmp_path, encode):
    files = drawn_shards.without_extras(drawn_shards.single_files(tmp_path / "files", encode))
    return dataclasses.replace(drawn_shards.write(files, tmp_path / "shards"), images_per_piece=2)


def test_batches_of_windows_are_the_same_after_a_resumption_and_on_several_replicas(shards):
    from ornet_tf.data.input_pipeline import Share

    batches = training(shards, 7, cache="none")
    assert are_equal(training(shards, 4, cache="none", first_step=3), batches[3:])
    assert are_equal(training(shards, 7, cache="memory"), batches)
    halves = [training(shards, 7, cache="none", share=Share(i, 1, 2)) for i in range(2)]
    assert np.array_equal(indices(batches), np.concatenate([indices([b]) for pair in zip(*halves) for b in pair]))
    single = training(dataclasses.replace(shards, images_per_piece=0), 7, cache="none")
    assert not np.array_equal(indices(batches), indices(single))


def test_left_out_images_are_not_read(shards):
    kept = shards.select([0, 1, 2, 3, 4, 5, 6, 8])
    assert kept.images_per_piece == 2
    assert sorted(indices(training(kept, 2, cache="none"))) == list(range(8))


def test_records_are_announced_where_the_system_takes_advice(tmp_path, monkeypatch):
    path, missing = tmp_path / "a.tfrecord", Record(str(tmp_path / "no"), 0, 84)
    path.write_bytes(bytes(2**20))
    near = [Record(str(path), offset, 2**18) for offset in (2**19, 0)]
    expected = 2 * (2**18 + sum(FRAME)) if hasattr(os, "posix_fadvise") else 0
    assert reading_order.announce([missing, *near]) == expected
    monkeypatch.delattr(os, "posix_fadvise", raising=False)
    assert reading_order.announce(near) == 0


def test_neighbours_are_read_as_one_piece_and_missing_files_are_left_out(tmp_path):
    path = tmp_path / "a.tfrecord"
    path.write_bytes(bytes(5 * 2**20))
    near = [Record(str(path), offset, 84) for offset in (300, 0, 100)]
    assert reading_order.read_pieces(near) == 400  # with the gap of one record
    far = Record(str(path), 4 * 2**20, 84)
    assert reading_order.read_pieces([*near, far]) == 500
    assert reading_order.read_pieces([Record(str(tmp_path / "no"), 0, 84), far]) == 84 + sum(FRAME)
    assert reading_order.read_pieces([Record(str(path), 5 * 2**20 - 10, 84)]) == 10  # a truncated shard
