"""The records of earlier checks: which images and boxes are checked again."""
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


def check(source, records, **options):
    return checked_images.check(source, "test", **{"broken_images": "skip", "records": records, **options})


def with_first_box(source, box):
    boxes = [np.array([box], np.float32), *source.boxes[1:]]
    return Source(source.class_names, source.images, source.names, source.labels, boxes)


def test_usable_images_have_digests_that_are_not_computed_twice(source):
    records = {}
    first, second = check(source, records), check(source, records)
    assert first.source.names == second.source.names == ["0.png", "1.png", "3.png"]
    assert len(set(first.digests.tolist())) == 3 and 0 not in first.digests
    assert second.digests is None and second.fingerprint == first.fingerprint


def test_changed_boxes_are_checked_again_without_decoding(source):
    records = {}
    wrong = with_first_box(source, [0, 0, 300, 400])
    with pytest.raises(ValueError, match="1 of 3 boxes of the test split .* 1 end outside"):
        check(wrong, records)
    assert check(source, records).digests is not None  # a failed check is not recorded
    for _ in range(2):
        with pytest.raises(ValueError, match="1 of 3 boxes"):
            check(wrong, records)
    assert check(with_first_box(source, [1, 1, 30, 40]), records).digests is None


def test_boxes_that_are_no_ground_truth_are_not_checked(source):
    records = {}
    wrong = with_first_box(source, [0, 0, 300, 400])
    assert len(check(wrong, records, is_measured=False).source) == 3
    with pytest.raises(ValueError, match="1 of 3 boxes"):
        check(wrong, records)
