"""The index of a data set in shards: what it keeps, and what is damaged or missing."""
import json

import numpy as np
import pytest

from ornet_tf.data import shard_index
from ornet_tf.data.source import MissingSplit, Record, Source


@pytest.fixture
def folder(tmp_path):
    """A complete folder with an index of two images, without shards."""
    images = [Record(str(tmp_path / name), offset, 7) for name, offset in (("b.tfrecord", 0), ("a.tfrecord", 2**40))]
    masks = [images[0], shard_index.no_mask(tmp_path)]
    boxes = [np.zeros([0, 4], np.float32), np.ones([2, 4], np.float32)]
    shard_index.write_split(tmp_path, "test", Source(["c"], images, ["x\ny", "\udcff"], np.zeros(2, int), boxes, masks))
    shard_index.write_complete(tmp_path, {"train": "no train here", "validation": "none", "test": 2})
    return tmp_path


def test_what_was_written_is_read(folder):
    source = shard_index.read_split(folder, "test")
    assert source.images == [Record(str(folder / "b.tfrecord"), 0, 7), Record(str(folder / "a.tfrecord"), 2**40, 7)]
    assert source.masks == [source.images[0], shard_index.no_mask(folder)]
    assert [boxes.shape for boxes in source.boxes] == [(0, 4), (2, 4)]
    assert source.names == ["x\ny", "\udcff"]


def test_a_moved_folder_is_read(folder, tmp_path_factory):
    there = folder.rename(tmp_path_factory.mktemp("other") / "moved")
    assert shard_index.read_split(there, "test").images[0].file == str(there / "b.tfrecord")


def test_a_missing_split_has_its_reason(folder):
    with pytest.raises(MissingSplit, match="no train here"):
        shard_index.read_split(folder, "train")


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("dataset.json", None, "expected a complete data set in shards, got no dataset.json"),
        ("dataset.json", b"{", "dataset.json can't be read"),
        ("dataset.json", json.dumps({"layout": 99, "splits": {}}).encode(), "expected shards of layout 1, got 99"),
        ("test.npz", None, "test.npz can't be read"),
        ("test.npz", b"PK\3\4 no archive", "test.npz can't be read"),
    ],
)
def test_damage_is_one_sentence_that_says_what_to_do(folder, name, content, expected):
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=expected) as error:
        shard_index.read_split(folder, "test")
    assert "ornet_tf.datasets shard" in str(error.value) and "\n" not in str(error.value)
