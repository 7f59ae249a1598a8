"""Images that are unpacked once to files."""
from __future__ import annotations

import pathlib

import numpy as np
import pytest

from ornet_tf.datasets import _unpacked

IMAGE = b"\xff\xd8\xff any file that starts like a JPEG"


def examples(count, folder, stop=None):
    for number in range(count):
        # The image before must be on disk by now, or all of them would be in memory.
        assert len([path for path in folder.parent.glob("*.partial-*/*/*") if path.is_file()]) == number
        if number == stop:
            raise KeyboardInterrupt
        yield IMAGE, 0, np.zeros((0, 4), np.float32)


def test_unpacking_holds_one_image_and_an_interrupted_one_leaves_nothing(tmp_path):
    folder = tmp_path / "split"
    with pytest.raises(KeyboardInterrupt):
        _unpacked.write(examples(5, folder, stop=3), folder, class_names=["a"], what="test")
    assert not list(tmp_path.iterdir())
    _unpacked.write(examples(5, folder), folder, class_names=["a"], what="test")
    assert len(_unpacked.read(folder, with_boxes=True)) == 5


def test_the_first_of_two_writers_wins(tmp_path):
    folder = tmp_path / "split"
    none = np.zeros((0, 4), np.float32)

    def slow():
        yield IMAGE, 0, none
        _unpacked.write([(IMAGE, 1, none)] * 2, folder, class_names=["a", "b"], what="other")

    _unpacked.write(slow(), folder, class_names=["a", "b"], what="test")
    np.testing.assert_array_equal(_unpacked.read(folder, with_boxes=False).labels, [1, 1])
    assert [path.name for path in tmp_path.iterdir()] == ["split"]


def test_more_than_a_thousand_images_are_spread_over_folders(tmp_path):
    none = np.zeros((0, 4), np.float32)
    data = [(b"\xff\xd8\xff" + str(i).encode(), i % 2, none) for i in range(1001)]
    _unpacked.write(data, tmp_path / "split", class_names=["a", "b"], what="test")
    source = _unpacked.read(tmp_path / "split", with_boxes=True)
    assert source.names[-1] == "0001/0001000.jpg"
    assert [pathlib.Path(path).read_bytes() for path in source.images] == [encoded for encoded, _, _ in data]
    np.testing.assert_array_equal(source.labels, [label for _, label, _ in data])
    assert len(source.boxes) == 1001


def test_boxes_that_are_no_fractions_are_refused(tmp_path):
    boxes = np.array([[10, 20, 30, 40]], np.float32)
    with pytest.raises(ValueError, match="boxes from 0 to 1, got .*10.* for image 0"):
        _unpacked.write([(IMAGE, 0, boxes)], tmp_path / "split", class_names=["a"], what="test")
