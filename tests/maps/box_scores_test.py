import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ornet_tf.maps import box_scores
from ornet_tf.maps import boxes as map_boxes
from tests.maps.boxes_test import smooth_maps

SIGNATURE = [tf.TensorSpec([None, None, None], tf.float32), tf.TensorSpec([None, None, 4], tf.float32)]


def compiled(max_components):
    """Returns the score as a graph function of maps [B, h, w] and boxes."""
    return tf.function(
        lambda maps, boxes: box_scores.stability(maps, boxes, max_components=max_components), input_signature=SIGNATURE
    )


STABILITY = {count: compiled(count) for count in (1, 3)}


def score(activation_map, *boxes, max_components=1):
    """Returns the scores of boxes, in pixels, in one map."""
    height, width = activation_map.shape
    boxes = np.float32([boxes]) / np.float32([height, width, height, width])
    return STABILITY[max_components](activation_map[np.newaxis].astype(np.float32), boxes)[0].numpy()


def components_of(is_on):
    """Returns the boxes of the 8-connected components of a mask, in pixels, the largest first."""
    left, found = {tuple(place) for place in np.argwhere(is_on)}, []
    while left:
        waiting, pixels = [min(left)], []
        left.remove(waiting[0])
        while waiting:
            y, x = waiting.pop()
            pixels.append((y, x))
            for near in [(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]:
                if near in left:
                    left.remove(near)
                    waiting.append(near)
        ys, xs = np.transpose(pixels)
        found.append((-len(pixels), min(pixels), (ys.min(), xs.min(), ys.max() + 1, xs.max() + 1)))
    return [box for _, _, box in sorted(found)]


def loop_iou(a, b):
    height, width = (max(0, min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return height * width / max(sum(areas) - height * width, 1e-9)


def loop_score(one, box, max_components):
    """The score by its definition; the box is in pixels, and pixels are drawn with 20 x 20 points each."""
    steady = 0.0
    for tenth in range(2, 9):
        found = components_of(one > np.float32(tenth / 10))[:max_components]
        steady += max((loop_iou(box, other) for other in found), default=0.0) / 7
    fine = np.asarray(Image.fromarray(one).resize([side * 20 for side in one.shape[::-1]], Image.Resampling.NEAREST))
    y, x = np.meshgrid(*[(np.arange(side) + 0.5) / 20 for side in fine.shape], indexing="ij")
    counts = (fine > 0.5) & (y >= box[0]) & (y < box[2]) & (x >= box[1]) & (x < box[3])
    return steady * (fine[counts].mean() if counts.any() else 0.0)


@pytest.mark.parametrize("max_components", [1, 3])
def test_scores_are_those_of_loops(max_components):
    rng = np.random.default_rng(max_components)
    maps = smooth_maps(rng, 6, 7, 9, 1)
    maps = ((maps - maps.min()) / np.ptp(maps)).astype(np.float32)
    corners = np.sort(rng.random((6, 4, 2, 2)), axis=2) * [7, 9]
    pixels = corners.reshape(6, 4, 4)
    pixels[:, 0] = np.round(pixels[:, 0])  # boxes of components have whole pixels
    pixels[:, 1] = [components_of(one > 0.5)[0] for one in maps]
    found = STABILITY[max_components](maps, np.float32(pixels / [7, 9, 7, 9])).numpy()
    assert found.shape == (6, 4) and found.dtype == np.float32
    expected = [[loop_score(one, box, max_components) for box in rows] for one, rows in zip(maps, pixels)]
    np.testing.assert_allclose(found, expected, atol=0.02)
    np.testing.assert_allclose(found[:, 1], np.asarray(expected)[:, 1], atol=1e-5)
    assert 0.2 < found.max() < 1


def test_a_steep_map_is_sure_and_a_flat_one_is_not():
    steep = np.zeros([12, 12])
    steep[3:7, 4:9] = 1
    exact, half, beside, whole = score(steep, [3, 4, 7, 9], [3, 4, 7, 6], [8, 0, 12, 4], [0, 0, 12, 12])
    assert exact == pytest.approx(1.0)
    assert beside == 0.0 and half == pytest.approx(8 / 20) and whole == pytest.approx(20 / 144)
    flat = steep.copy()
    flat[2:10, 2:11], flat[3:7, 4:9] = 0.35, 0.65
    # The box is that of the component from 0.4 to 0.6. Below, the component is 8 x 9; above, there is none.
    assert score(flat, [3, 4, 7, 9])[0] == pytest.approx(0.65 * (2 * 20 / 72 + 3) / 7)


def test_several_boxes_have_their_own_components():
    one = np.zeros([12, 12])
    one[1:6, 1:6], one[8:11, 7:11] = 0.95, 0.55
    boxes = ([1, 1, 6, 6], [8, 7, 11, 11])
    assert score(one, *boxes, max_components=3).tolist() == pytest.approx([0.95, 0.55 * 4 / 7])
    assert score(one, *boxes, max_components=1).tolist() == pytest.approx([0.95, 0])


def test_boxes_without_area_or_without_a_pixel_above_a_half_have_the_score_0():
    low = np.full([5, 6], 0.5)
    assert score(low, [0, 0, 5, 6], [1, 1, 3, 4]).tolist() == [0, 0]
    assert score(np.full([5, 6], 0.9), [0, 0, 0, 0], [2, 2, 2, 5]).tolist() == [0, 0]
    assert score(np.full([5, 6], 0.9), [0, 0, 5, 6]) == pytest.approx(0.9)
    assert STABILITY[1](tf.zeros([0, 4, 4]), tf.zeros([0, 3, 4])).shape == (0, 3)


def test_rounded_edges_do_not_reach_the_next_pixel():
    for side in range(3, 60):
        for edge in range(1, side):
            one = np.full([1, side], 0.45)
            one[0, edge:] = 0.9
            assert score(one, [0, 0, 1, edge])[0] == 0, (side, edge)


def test_nan_counts_as_0():
    one = np.random.default_rng(2).random((6, 6))
    holes = one.copy()
    holes[2, 3], one[2, 3] = np.nan, 0
    assert score(holes, [1, 1, 5, 6]) == score(one, [1, 1, 5, 6]) > 0
    assert score(np.full([6, 6], np.nan), [0, 0, 6, 6]) == 0


def test_a_channel_axis_and_other_resolutions_are_allowed():
    maps = smooth_maps(np.random.default_rng(1), 2, 6, 6, 1)[..., np.newaxis].astype(np.float32)
    maps = (maps - maps.min()) / np.ptp(maps)
    boxes = map_boxes.find_boxes(maps, [0.5])
    found = box_scores.stability(maps, boxes, max_components=1)
    np.testing.assert_array_equal(found, STABILITY[1](maps[..., 0], boxes))
    enlarged = np.repeat(np.repeat(maps, 3, axis=1), 3, axis=2)
    np.testing.assert_allclose(box_scores.stability(enlarged, boxes, max_components=1), found, atol=1e-5)
