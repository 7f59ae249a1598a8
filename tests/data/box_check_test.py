"""Boxes that can't be right are refused before anything is measured by them. More are in check_report_test.py."""
import numpy as np
import pytest

from ornet_tf.data import box_check
from ornet_tf.data.source import Source

SIZES = np.array([[30, 40], [30, 40], [0, 0]])


def source_of(*boxes):
    boxes = [np.array(rows, np.float32).reshape(-1, 4) for rows in boxes]
    return Source(["a"], [b""] * len(boxes), [f"{i}.png" for i in range(len(boxes))], np.zeros(len(boxes), int), boxes)


def test_boxes_outside_and_without_area_are_counted_and_the_first_is_named():
    source = source_of([[0, 0, 30, 40], [0, 0, 300, 400]], [[3, 3, 3, 9]], [])
    with pytest.raises(ValueError) as caught:
        box_check.check(source, SIZES, "test")
    assert str(caught.value) == (
        "2 of 3 boxes of the test split cannot be right: 1 end outside of their image, 1 have no area. The first is "
        "that of 0.png: ymin 0, xmin 0, ymax 300, xmax 400 in 30 x 40 (height x width), 360 pixels outside. Are they "
        "boxes of originals of another size? Mend or remove them; `python -m ornet_tf.datasets check --config=... "
        "--split=test` lists all."
    )


def test_a_pixel_outside_images_without_size_and_splits_without_boxes_are_no_fault():
    box_check.check(source_of([[-1, -1, 31, 41]], [], [[0, 0, 300, 400]]), SIZES, "test")
    box_check.check(Source(["a"], [b""], ["0.png"], np.zeros(1, int)), SIZES[:1], "test")
