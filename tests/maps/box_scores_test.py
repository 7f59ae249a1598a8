import numpy as np
import pytest
import tensorflow as tf

from ornet_tf.maps import box_scores

SIGNATURE = [tf.TensorSpec([None, None, None], tf.float32), tf.TensorSpec([None, None, 4], tf.float32)]
CONTRAST = tf.function(box_scores.contrast, input_signature=SIGNATURE)


def score(activation_map, *boxes):
    """Returns the scores of boxes, in pixels, in one map."""
    height, width = activation_map.shape
    boxes = np.float32([boxes]) / np.float32([height, width, height, width])
    return CONTRAST(activation_map[np.newaxis].astype(np.float32), boxes)[0].numpy()


def mean_of_samples(activation_map, y, x, is_chosen):
    """Returns the mean at those of many points (y, x) that are chosen; 0 without one."""
    return activation_map[y, x][is_chosen].mean() if is_chosen.any() else 0.0


def test_scores_are_those_of_many_sample_points():
    rng = np.random.default_rng(0)
    maps = rng.random((6, 7, 9)).astype(np.float32)
    corners = np.sort(rng.random((6, 5, 2, 2)), axis=2)
    boxes = corners.reshape(6, 5, 4).astype(np.float32)
    found = CONTRAST(maps, boxes).numpy()
    assert found.shape == (6, 5) and found.dtype == np.float32
    v, u = (np.mgrid[:600, :600] + 0.5) / 600
    y, x = (v * 7).astype(int), (u * 9).astype(int)
    for one, image_boxes, scores in zip(maps, boxes, found):
        for (top, left, bottom, right), value in zip(image_boxes, scores):
            is_inside = (v >= top) & (v < bottom) & (u >= left) & (u < right)
            tall, wide = (bottom - top) / 2**0.5, (right - left) / 2**0.5
            is_near = (np.abs(v - (top + bottom) / 2) < tall) & (np.abs(u - (left + right) / 2) < wide)
            expected = mean_of_samples(one, y, x, is_inside) - mean_of_samples(one, y, x, is_near & ~is_inside)
            assert value == pytest.approx(max(expected, 0), abs=0.01)


def test_the_score_is_highest_for_the_box_of_the_object():
    one = np.zeros([12, 12])
    one[3:7, 4:9] = 1
    exact, half, large, beside, whole = score(
        one, [3, 4, 7, 9], [3, 4, 7, 6], [0, 0, 10, 12], [8, 0, 12, 4], [0, 0, 12, 12]
    )
    assert exact == pytest.approx(1.0)
    assert beside == 0.0 < min(half, large) and max(half, large, whole) < exact
    assert whole == pytest.approx(20 / 144)


def test_values_far_from_the_box_do_not_count():
    one = np.zeros([16, 16])
    one[2:6, 2:6] = 0.8
    alone = score(one, [2, 2, 6, 6])
    one[10:14, 10:14] = 1
    assert score(one, [2, 2, 6, 6]) == alone == pytest.approx(0.8)


def test_the_ring_ends_at_the_edge_of_the_map():
    one = np.full([8, 8], 0.25)
    one[:, :2] = 1
    assert score(one, [0, 0, 8, 2]) == pytest.approx(0.75)


def test_constant_maps_and_boxes_without_area_have_the_score_0():
    scores = score(np.full([5, 6], 0.7), [1, 1, 3, 4], [0, 0, 0, 0], [2, 2, 2, 5])
    np.testing.assert_allclose(scores, 0, atol=1e-6)
    assert score(np.full([5, 6], 0.7), [0, 0, 5, 6]) == pytest.approx(0.7)
    assert CONTRAST(tf.zeros([0, 4, 4]), tf.zeros([0, 3, 4])).shape == (0, 3)


def test_a_channel_axis_is_allowed():
    maps = np.random.default_rng(1).random((2, 5, 5, 1)).astype(np.float32)
    boxes = np.float32([[[0, 0, 0.5, 0.5]], [[0.2, 0.2, 0.9, 1]]])
    np.testing.assert_array_equal(box_scores.contrast(maps, boxes), CONTRAST(maps[..., 0], boxes))
