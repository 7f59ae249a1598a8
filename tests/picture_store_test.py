"""Reading, decoding and holding pictures by index."""
import gc

import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import picture_store
from ornet_tf.datasets import Source


def source_of(files):
    return Source(["a"], files, [str(i) for i in range(len(files))], np.zeros(len(files), int))


def pictures_of(source, function):
    dataset = picture_store.each(tf.data.Dataset.range(len(source)), function)
    return list(dataset.as_numpy_iterator())


@pytest.fixture
def files(encode, tmp_path):
    """The paths of three pictures of 9 x 9 pixels."""
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, pixels in zip(paths, np.random.default_rng(0).integers(0, 256, (3, 9, 9, 3), np.uint8)):
        path.write_bytes(encode(pixels))
    return paths


@pytest.mark.parametrize("part_bytes", [1, 500, 10**6])
def test_held_pictures_are_the_decoded_ones(files, monkeypatch, part_bytes):
    monkeypatch.setattr(picture_store, "_PART_BYTES", part_bytes)
    source = source_of([str(path) for path in files])
    for side in (9, 5):
        decoded = pictures_of(source, picture_store.decoder(source, side=side))
        assert [picture.shape for picture in decoded] == [(side, side, 3)] * 3
        held = pictures_of(source, picture_store.holder(source, side=side, kind="memory"))
        np.testing.assert_array_equal(held, decoded)


def test_pictures_are_decoded_once_for_a_source_and_let_go_with_it(files):
    source = source_of([str(path) for path in files])
    first = pictures_of(source, picture_store.holder(source, side=9, kind="memory"))
    before = len(picture_store._held)
    for path in files:
        path.unlink()
    np.testing.assert_array_equal(pictures_of(source, picture_store.holder(source, side=9, kind="memory")), first)
    assert len(picture_store._held) == before
    with pytest.raises(tf.errors.NotFoundError):
        picture_store.holder(source_of(source.images), side=9, kind="memory")  # another source, though an equal one
    del source
    gc.collect()
    assert len(picture_store._held) == before - 1


@pytest.mark.parametrize("images", [["a.png", b"b"], [b"b", None], [3]])
def test_a_source_holds_paths_or_bytes(images):
    with pytest.raises(TypeError, match="all paths .str. or all encoded files .bytes."):
        picture_store.reader(source_of(images))


def test_bytes_that_end_with_zeros_are_kept():
    source = source_of([b"abc\0\0", b"", b"\0\xff\0"])
    assert pictures_of(source, picture_store.reader(source)) == source.images


def test_an_empty_source_can_be_read():
    empty = source_of([])
    assert pictures_of(empty, picture_store.reader(empty)) == []
