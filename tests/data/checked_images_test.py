"""What is remembered of a split that was looked at, and what is looked at anew. More of it: tests/build_test.py."""
import numpy as np
import pytest

from ornet_tf.data import checked_images
from ornet_tf.data.source import Source


@pytest.fixture
def source(tmp_path, encode):
    """Four images with boxes, the third of them broken."""
    rng = np.random.default_rng(0)
    files = [encode(rng.integers(0, 256, (30, 40, 3), np.uint8)) for _ in range(4)]
    files[2] = files[2][:60]
    paths = [tmp_path / f"{i}.png" for i in range(4)]
    for path, content in zip(paths, files):
        path.write_bytes(content)
    boxes = [np.array([[0, 0, 30, 40]], np.float32)] * 3 + [np.zeros([0, 4], np.float32)]
    return Source(["a"], list(map(str, paths)), [path.name for path in paths], np.zeros(4, int), boxes)


def check(source, known, **options):
    return checked_images.check(source, "test", **{"broken_images": "skip", "known": known, **options})


def boxed(source, box):
    boxes = [np.array([box], np.float32), *source.boxes[1:]]
    return Source(source.class_names, source.images, source.names, source.labels, boxes)


def test_digests_are_of_the_images_that_are_left_and_not_computed_twice(source):
    known = {}
    first, second = check(source, known), check(source, known)
    assert first.source.names == second.source.names == ["0.png", "1.png", "3.png"]
    assert len(set(first.digests.tolist())) == 3 and 0 not in first.digests
    assert second.digests is None and second.fingerprint == first.fingerprint


def test_boxes_are_checked_again_when_they_change_without_decoding(source, caplog):
    known = {}
    wrong = boxed(source, [0, 0, 300, 400])
    with pytest.raises(ValueError, match="1 of 3 boxes of the test split cannot be right: 1 end outside"):
        check(wrong, known)
    assert check(source, known).digests is not None  # nothing was remembered of what was refused
    for _ in range(2):
        with pytest.raises(ValueError, match="cannot be right"):
            check(wrong, known)
    assert check(boxed(source, [1, 1, 30, 40]), known).digests is None


def test_boxes_by_which_nothing_is_measured_are_not_looked_at(source):
    known = {}
    wrong = boxed(source, [0, 0, 300, 400])
    assert len(check(wrong, known, is_measured=False).source) == 3
    with pytest.raises(ValueError, match="cannot be right"):
        check(wrong, known)
