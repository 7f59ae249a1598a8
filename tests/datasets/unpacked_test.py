"""Folders of image files with an index: complete or absent, for one or more writers."""
from __future__ import annotations

import pathlib

import numpy as np
import pytest

from ornet_tf.datasets import _unpacked

IMAGE = b"\xff\xd8\xff any file that starts like a JPEG"


def examples(count, folder, stop=None):
    for number in range(count):
        # All earlier images must be on the disk, not in memory.
        assert len([path for path in folder.parent.glob("*.partial-*/*/*") if path.is_file()]) == number
        if number == stop:
            raise KeyboardInterrupt
        yield IMAGE, 0, np.zeros((0, 4), np.float32)


def test_one_image_is_in_memory_and_an_interrupted_write_leaves_no_files(tmp_path):
    folder = tmp_path / "split"
    with pytest.raises(KeyboardInterrupt):
        _unpacked.write(examples(5, folder, stop=3), folder, class_names=["a"], what="test")
    assert not list(tmp_path.iterdir())
    _unpacked.write(examples(5, folder), folder, class_names=["a"], what="test")
    assert len(_unpacked.read(folder, with_boxes=True)) == 5


def test_the_folder_of_the_first_of_two_writers_is_kept(tmp_path):
    folder = tmp_path / "split"
    no_boxes = np.zeros((0, 4), np.float32)

    def slow_examples():
        yield IMAGE, 0, no_boxes
        _unpacked.write([(IMAGE, 1, no_boxes)] * 2, folder, class_names=["a", "b"], what="other")

    _unpacked.write(slow_examples(), folder, class_names=["a", "b"], what="test")
    np.testing.assert_array_equal(_unpacked.read(folder, with_boxes=False).labels, [1, 1])
    assert [path.name for path in tmp_path.iterdir()] == ["split"]


def test_a_folder_has_at_most_a_thousand_images(tmp_path):
    no_boxes = np.zeros((0, 4), np.float32)
    data = [(b"\xff\xd8\xff" + str(i).encode(), i % 2, no_boxes) for i in range(1001)]
    _unpacked.write(data, tmp_path / "split", class_names=["a", "b"], what="test")
    source = _unpacked.read(tmp_path / "split", with_boxes=True)
    assert source.names[-1] == "0001/0001000.jpg"
    assert [pathlib.Path(path).read_bytes() for path in source.images] == [encoded for encoded, _, _ in data]
    np.testing.assert_array_equal(source.labels, [label for _, label, _ in data])
    assert len(source.boxes) == 1001


def test_boxes_in_pixels_are_refused(tmp_path):
    boxes = np.array([[10, 20, 30, 40]], np.float32)
    with pytest.raises(ValueError, match="got .*10.* for image 0"):
        _unpacked.write([(IMAGE, 0, boxes)], tmp_path / "split", class_names=["a"], what="test")
