"""Records of TFRecord files, read by their offset in the graph."""
import itertools

import numpy as np
import pytest
import tensorflow as tf

from ornet_tf.data import image_cache, image_store, input_pipeline, records
from ornet_tf.data.source import FRAME, Record, Source, read_encoded

CONTENTS = [b"one", b"", b"three\0\0", bytes(range(256)) * 400]


@pytest.fixture
def stored(tmp_path):
    """Records of two files; the second file comes first."""
    found, files = {}, [str(tmp_path / "b.tfrecord"), str(tmp_path / "a.tfrecord")]
    for path, numbers in zip(files, ([2, 0], [3, 1])):
        offset = 0
        with tf.io.TFRecordWriter(path) as writer:
            for number in numbers:
                writer.write(CONTENTS[number])
                found[number] = Record(path, offset, len(CONTENTS[number]))
                offset += len(CONTENTS[number]) + sum(FRAME)
    return [found[number] for number in range(4)]


def test_records_are_read_in_any_order(stored):
    read = records.reader(stored)
    order = [3, 0, 2, 1, 0]
    dataset = image_store.parallel_map(tf.data.Dataset.from_tensor_slices(np.array(order, np.int64)), read)
    assert list(dataset.as_numpy_iterator()) == [CONTENTS[i] for i in order]
    assert [read(tf.constant(i, tf.int64)).numpy() for i in order] == [CONTENTS[i] for i in order]
    assert [read_encoded(record) for record in stored] == CONTENTS


def test_the_stored_order_is_that_of_files_and_offsets(stored):
    assert records.stored_order(stored).tolist() == [3, 1, 2, 0]
    assert records.stored_order(["z.jpg", "a.jpg"]).tolist() == [0, 1]
    assert records.stored_order([]).tolist() == []


def change(record, position):
    with open(record.file, "r+b") as file:
        file.seek(record.offset + position)
        byte = file.read(1)
        file.seek(record.offset + position)
        file.write(bytes([byte[0] ^ 1]))


def damage_of(stored):
    source = Source(["a"], stored, [str(i) for i in range(len(stored))], np.zeros(len(stored), int))
    return image_store.examine(source, lambda encoded: tf.strings.length(encoded)[tf.newaxis] + 1, count=1)[1]


@pytest.mark.parametrize("position", [0, 9, 12, 14])
def test_a_wrong_byte_of_length_checksum_or_content_costs_one_record(stored, position):
    change(stored[2], position)
    assert damage_of(stored) == [(2, "damaged record of a shard")]


@pytest.mark.parametrize(("kept", "lost"), [(30, [0]), (10, [0, 2]), (0, [0, 2])])
def test_a_truncated_file_costs_the_records_behind_its_end(stored, kept, lost):
    with open(stored[2].file, "r+b") as file:
        file.truncate(kept)
    assert damage_of(stored) == [(index, "damaged record of a shard") for index in lost]


def test_a_missing_file_is_named_as_such(stored):
    moved = [stored[0]._replace(file=stored[0].file + "x"), *stored[1:]]
    assert damage_of(moved) == [(0, "file not found")]


@pytest.fixture
def source(images, encode, tmp_path):
    """Ten images as files in memory."""
    files = [encode(image, ("PNG", "JPEG")[i % 2]) for i, image in enumerate(images)]
    return Source(["a"], files, [str(i) for i in range(10)], np.zeros(10, int))


def in_records(source, path):
    """Returns the source with its files in one TFRecord file, in reverse order."""
    places, offset = [], 0
    with tf.io.TFRecordWriter(str(path)) as writer:
        for encoded in source.images[::-1]:
            writer.write(encoded)
            places.append(Record(str(path), offset, len(encoded)))
            offset += len(encoded) + sum(FRAME)
    return Source(source.class_names, places[::-1], source.names, source.labels)


def batches(source, **options):
    found = input_pipeline.training_batches(
        source, batch_size=4, seed=3, resize=24, crop=20, horizontal_flip=True, **options
    )
    return list(itertools.islice(found.as_numpy_iterator(), 7))


@pytest.mark.parametrize("cache", ["none", "memory", "disk"])
def test_training_batches_are_those_of_the_single_files_also_when_resumed(source, tmp_path, cache):
    copy = in_records(source, tmp_path / "a.tfrecord")
    expected = batches(source)
    found = batches(copy, cache=cache, cache_dir=str(tmp_path))
    for batch, other in zip(expected, found):
        assert all(np.array_equal(batch[key], other[key]) for key in batch)
    for batch, other in zip(expected[3:], batches(copy, cache=cache, cache_dir=str(tmp_path), first_step=3)):
        assert all(np.array_equal(batch[key], other[key]) for key in batch)


def test_measurements_are_those_of_the_single_files(source, tmp_path):
    expected, found = (image_store.measure(s) for s in (source, in_records(source, tmp_path / "a.tfrecord")))
    np.testing.assert_array_equal(found.sizes, expected.sizes)
    np.testing.assert_array_equal(found.digests, expected.digests)


def test_the_fingerprint_changes_with_the_shard_and_the_place(source, tmp_path):
    copy = in_records(source, tmp_path / "a.tfrecord")
    first = image_cache.fingerprint(copy)
    assert image_cache.fingerprint(in_records(source, tmp_path / "b.tfrecord")) != first
    moved = Source(copy.class_names, [*copy.images[1:], copy.images[0]], copy.names, copy.labels)
    assert image_cache.fingerprint(moved) != first
    with open(tmp_path / "a.tfrecord", "ab") as file:
        file.write(b"?")
    assert image_cache.fingerprint(copy) != first
