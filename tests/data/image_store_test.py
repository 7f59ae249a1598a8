"""Reading images by index."""
import os

import numpy as np
import pytest
import tensorflow as tf

from ornet_tf.data import image_store
from ornet_tf.data.source import Source
from tests import broken_files


def source_of(files):
    return Source(["a"], files, [str(i) for i in range(len(files))], np.zeros(len(files), int))


def images_of(source, function):
    dataset = image_store.parallel_map(tf.data.Dataset.range(len(source)), function)
    return list(dataset.as_numpy_iterator())


def test_no_thread_tunes_the_pipeline():
    dataset = image_store.parallel_map(tf.data.Dataset.range(3), lambda index: 2 * index)
    assert not dataset.batch(2).prefetch(1).options().autotune.enabled  # the deletion of iterators could wait for it
    assert list(dataset.as_numpy_iterator()) == [0, 2, 4]


@pytest.mark.parametrize("images", [["a.png", b"b"], [b"b", None], [3]])
def test_a_source_holds_paths_bytes_or_records(images):
    with pytest.raises(TypeError, match="all paths .str., all encoded files .bytes. or all records .Record."):
        image_store.reader(source_of(images))


def test_bytes_that_end_with_zeros_are_kept():
    source = source_of([b"abc\0\0", b"", b"\0\xff\0"])
    assert images_of(source, image_store.reader(source)) == source.images


def test_an_empty_source_can_be_read():
    empty = source_of([])
    assert images_of(empty, image_store.reader(empty)) == []


@pytest.mark.parametrize("headers_only", [False, True])
def test_images_are_measured_upright_and_broken_ones_have_no_size(encode, headers_only):
    turned = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0"  # orientation 6
    pixels = np.zeros([20, 30, 3], np.uint8)
    source = source_of([encode(pixels), encode(pixels, "JPEG", exif=turned), b"", encode(pixels)[:50]])
    sizes, broken, _ = image_store.measure(source, headers_only=headers_only)
    # A file truncated behind its header is found only by decoding.
    np.testing.assert_array_equal(sizes, [[20, 30], [30, 20], [0, 0], [20, 30] if headers_only else [0, 0]])
    assert broken == [("2", "an empty file"), ("3", "truncated or damaged PNG")][: 1 if headers_only else 2]


@pytest.mark.parametrize("headers_only", [False, True])
def test_unsupported_kinds_of_files_are_named(encode, headers_only):
    jpeg = encode(np.zeros([20, 30, 3], np.uint8), "JPEG")
    files = [jpeg, broken_files.with_frame(jpeg, 0xC1, 12), broken_files.with_frame(jpeg, 0xC3), jpeg[:20]]
    source = Source(["a"], files, ["0", "1", "2", "3"], np.zeros(4, np.int32))
    assert image_store.measure(source, headers_only=headers_only).broken == [
        ("1", "a JPEG with 12 bits per channel; only 8 are read"),
        ("2", "a lossless JPEG; only baseline and progressive ones are read"),
        ("3", "truncated or damaged JPEG"),
    ]


def test_images_have_equal_digests_if_their_pixels_are_equal(encode):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, [20, 30, 3], np.uint8)
    other = pixels.copy()
    other[0, 0, 0] ^= 1
    files = [encode(pixels), encode(pixels, compress_level=9), encode(other), encode(pixels.reshape(30, 20, 3))]
    found = image_store.measure(source_of([*files, b"no"])).digests
    assert found[0] == found[1] and len(set(found[:4].tolist())) == 3 and found[4] == 0
    # Runs store digests, so that they must not change with the machine or the version of TensorFlow.
    grey = image_store.measure(source_of([encode(np.full([2, 3, 3], 7, np.uint8))])).digests
    assert grey.tolist() == [3346198584638067594]
    assert image_store.measure(source_of(files), headers_only=True).digests.tolist() == [0] * 4


def test_different_names_of_any_bytes_have_different_digests():
    names = ["a/1.png", "a/2.png", os.fsdecode(b"caf\xe9.png"), "caf\u00e9.png"]
    found = image_store.name_digests(names)
    assert len(set(found.tolist())) == 4 and found.dtype == np.int64
    assert image_store.name_digests(names[:1]).tolist() == [7106656694047933383]
    assert image_store.name_digests([]).shape == (0,)
