"""Reading pictures by index."""
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
