"""Wrong boxes are refused before they serve as ground truth."""
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
    with pytest.raises(ValueError, match="2 of 3 boxes of the test split .*1 end outside .*1 have no area") as caught:
        box_check.check(source, SIZES, "test")
    first = "0.png: ymin 0, xmin 0, ymax 300, xmax 400 in 30 x 40 (height x width), 360 pixels outside"
    assert first in str(caught.value)


def test_tolerance_unknown_sizes_and_missing_boxes_are_accepted():
    box_check.check(source_of([[-1, -1, 31, 41]], [], [[0, 0, 300, 400]]), SIZES, "test")
    box_check.check(Source(["a"], [b""], ["0.png"], np.zeros(1, int)), SIZES[:1], "test")


def test_boxes_without_area_and_with_nan_are_found():
    boxes = [[[3, 3, 3, 9]], [[5, 6, 4, 8], [0, 0, 1, 1]], [[0, 0, np.nan, 2]], []]
    boxes = [np.array(rows, np.float32).reshape(-1, 4) for rows in boxes]
    source = Source(["a"], [b""] * 4, list("abcd"), np.zeros(4, np.int32), boxes)
    found = box_check.examine(source, np.full([4, 2], 10))
    assert [entry["name"] for entry in found["no_area"]] == ["a", "b", "c"]
    assert (found["boxes"], found["without"], found["outside"]) == (4, ["d"], [])
    empty = box_check.examine(source.select([3]), np.full([1, 2], 10))
    assert empty == {"boxes": 0, "without": ["d"], "no_area": [], "outside": []}
