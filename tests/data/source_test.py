import numpy as np
import pytest

from ornet_tf.data.source import Source
from ornet_tf.errors import UserError


def source(names=("a", "b", "c"), boxes=None):
    return Source(["x", "y"], [name.encode() for name in names], names, np.array([0, 1, 1], np.int32), boxes)


def test_a_repeated_image_name_is_refused():
    with pytest.raises(UserError, match="'b.jpg' twice"):
        Source(["a"], [b"1", b"2", b"3"], ["a.jpg", "b.jpg", "b.jpg"], np.zeros(3, np.int32))


def test_selected_images_keep_their_labels_and_boxes():
    boxes = [np.full([count, 4], count, np.float32) for count in (0, 1, 2)]
    selected = source(boxes=boxes).select([2, 0])
    assert selected.images == [b"c", b"a"]
    assert selected.labels.tolist() == [1, 0]
    assert [len(boxes) for boxes in selected.boxes] == [2, 0]


def test_boxes_are_padded_with_zeros_to_the_largest_number():
    boxes = [np.full([count, 4], count, np.float32) for count in (0, 1, 2)]
    padded = source(boxes=boxes).padded_boxes()
    assert padded[:, :, 0].tolist() == [[0, 0], [1, 0], [2, 2]]
    assert source().padded_boxes().shape == (3, 1, 4)


@pytest.mark.parametrize("labels", [[0, 2, 1], [0, -1, 1]])
def test_labels_without_a_class_are_refused(labels):
    with pytest.raises(ValueError, match="must lie in 0..1"):
        Source(["x", "y"], [b"a", b"b", b"c"], "abc", np.array(labels, np.int32))
