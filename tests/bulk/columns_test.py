import numpy as np
import pyarrow

from ornet_tf.bulk import columns, statuses
from ornet_tf.inference.detections import Detections


def two_objects():
    boxes = np.array([[0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1]], np.float32)
    scores = np.array([0.75, 0.5], np.float32)
    return Detections(boxes, scores, np.array([4, 2]), ("wren", "crow"), box_scores=scores / 2)


def test_a_row_for_each_result_with_lists_of_its_objects():
    refused = columns.Result("a.tar", "x", None, statuses.DAMAGED, "truncated")
    table = columns.table([columns.Result("b.jpg", "b.jpg", two_objects()), refused], "3@ab")
    assert table.schema == columns.SCHEMA
    first, second = table.to_pylist()
    found = two_objects()
    np.testing.assert_array_equal(np.float32(first["boxes"]), found.boxes)
    np.testing.assert_array_equal(np.float32(first["box_scores"]), found.box_scores)
    assert (first["scores"], first["classes"], first["class_names"]) == ([0.75, 0.5], [4, 2], ["wren", "crow"])
    assert (first["status"], first["reason"], first["model_version"]) == ("ok", "", "3@ab")
    lists = {name: [] for name in ("boxes", "box_scores", "scores", "classes", "class_names")}
    assert second == {
        "path": "a.tar", "key": "x", "status": "damaged", "reason": "truncated", "model_version": "3@ab", **lists,
    }  # fmt: skip


def test_an_export_from_before_box_scores_has_none():
    old = Detections(np.zeros([1, 4], np.float32), np.ones([1], np.float32), np.array([0]), ("a",))
    row, = columns.table([columns.Result("a", "a", old)], "1@0").to_pylist()
    assert row["box_scores"] is None and len(row["boxes"]) == 1


def test_no_rows():
    assert columns.table([], "1@0").schema == columns.SCHEMA


def test_boxes_are_lists_of_four():
    kind = columns.SCHEMA.field("boxes").type.value_type
    assert pyarrow.types.is_fixed_size_list(kind) and kind.list_size == 4
