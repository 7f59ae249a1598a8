import numpy as np
import pytest
import tensorflow as tf

from ornet_tf.maps import boxes
from tests.maps.components_test import flood_fill, largest_extents

THRESHOLDS = np.arange(1, 20, dtype=np.float32) / 20
MAP = tf.TensorSpec([None, None, None], tf.float32)
FIND_BOXES = {
    rule: tf.function(
        lambda maps, thresholds, rule=rule: boxes.find_boxes(maps, thresholds, rule=rule),
        input_signature=[MAP, tf.TensorSpec([None], tf.float32)],
    )
    for rule in boxes.RULES
}


def box_of(image, rule):
    """Returns the box of one binary map in float64, computed by definition."""
    height, width = image.shape
    if not image.any():
        return [0.0, 0.0, 1.0, 1.0]
    if rule == "largest":
        labels = flood_fill(image)
        values, areas = np.unique(labels[labels > 0], return_counts=True)
        image = labels == values[np.argmax(areas)]  # labels ascend with the first pixel: of equal areas the first
    y, x = np.nonzero(image)
    return [y.min() / height, x.min() / width, (y.max() + 1) / height, (x.max() + 1) / width]


def expected_boxes(maps, thresholds, rule):
    return np.array([[box_of(m > t, rule) for t in thresholds] for m in maps])


def smooth_maps(rng, count, height, width, passes):
    """Returns random maps in 0..1 with some blobs."""
    maps = rng.normal(size=(count, height, width))
    for _ in range(passes):
        padded = np.pad(maps, [(0, 0), (1, 1), (1, 1)], mode="edge")
        maps = sum(padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)) / 9
    return (1 / (1 + np.exp(-2 * maps / maps.std()))).astype(np.float32)


@pytest.mark.parametrize("rule", boxes.RULES)
@pytest.mark.parametrize(("height", "width", "passes"), [(11, 14, 2), (14, 9, 1), (7, 7, 0), (1, 12, 0), (16, 16, 4)])
def test_boxes_match_the_definition(rule, height, width, passes):
    maps = smooth_maps(np.random.default_rng(height), 20, height, width, passes)
    np.testing.assert_allclose(
        FIND_BOXES[rule](maps, THRESHOLDS).numpy(), expected_boxes(maps, THRESHOLDS, rule), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("rule", boxes.RULES)
def test_boxes_of_plateaus_and_values_equal_to_a_threshold(rule):
    rng = np.random.default_rng(0)
    levels = np.linspace(0, 1, 6, dtype=np.float32)
    maps = levels[rng.integers(0, 6, (150, 6, 7))]
    found = FIND_BOXES[rule](maps, levels).numpy()
    np.testing.assert_allclose(found, expected_boxes(maps, levels, rule), rtol=0, atol=1e-6)


def test_the_rules_differ_where_there_are_two_objects():
    activation_map = np.zeros([1, 8, 10], np.float32)
    activation_map[0, 1:3, 1:6] = 0.6  # 10 pixels
    activation_map[0, 5:8, 7:10] = 0.9  # 9 pixels
    thresholds = np.float32([0.5, 0.6, 0.95])
    np.testing.assert_allclose(
        FIND_BOXES["tight"](activation_map, thresholds)[0],
        [[1 / 8, 0.1, 1, 1], [5 / 8, 0.7, 1, 1], [0, 0, 1, 1]],
        rtol=0,
        atol=1e-6,
    )
    np.testing.assert_allclose(
        FIND_BOXES["largest"](activation_map, thresholds)[0],
        [[1 / 8, 0.1, 3 / 8, 0.6], [5 / 8, 0.7, 1, 1], [0, 0, 1, 1]],
        rtol=0,
        atol=1e-6,
    )


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (["..X", "X.X", "X.."], [0, 2, 2, 3]),  # the first row decides, although the other is further left
        (["X.X", "X.X", "..."], [0, 0, 2, 1]),  # in one row the first column decides
        ([".X.X", "X..X"], [0, 0, 2, 2]),  # its first pixel, not its leftmost
        (["..XX..", "......", "XX....", "....XX"], [0, 2, 1, 4]),
    ],
)
def test_of_equally_large_components_the_one_with_the_first_pixel_wins(rows, expected):
    on = np.array([[pixel == "X" for pixel in row] for row in rows])
    box = FIND_BOXES["largest"](on[np.newaxis].astype(np.float32), [0.5])[0, 0].numpy()
    np.testing.assert_allclose(box * [*on.shape, *on.shape], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("rule", boxes.RULES)
def test_a_pixel_at_the_threshold_is_off(rule):
    activation_map = np.full([1, 4, 4], 0.5, np.float32)
    activation_map[0, 1, 2] = np.nextafter(np.float32(0.5), np.float32(1))
    np.testing.assert_array_equal(FIND_BOXES[rule](activation_map, [0.5])[0, 0], [0.25, 0.5, 0.5, 0.75])


@pytest.mark.parametrize("rule", boxes.RULES)
def test_thresholds_come_in_any_order_and_may_repeat(rule):
    maps = smooth_maps(np.random.default_rng(1), 8, 12, 12, 2)
    thresholds = np.float32([0.7, 0.2, 0.7, -1.0, 0.95, 2.0, 0.45])
    np.testing.assert_allclose(
        FIND_BOXES[rule](maps, thresholds).numpy(), expected_boxes(maps, thresholds, rule), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("rule", boxes.RULES)
def test_nan_is_off_and_does_not_affect_other_pixels(rule):
    activation_map = np.zeros([2, 4, 4], np.float32)
    activation_map[0, 1, 1:3] = [1, np.nan]
    activation_map[1] = np.nan
    found = FIND_BOXES[rule](activation_map, [-1.0, 0.5]).numpy()
    np.testing.assert_array_equal(found[:, 1], [[0.25, 0.25, 0.5, 0.5], [0, 0, 1, 1]])


@pytest.mark.parametrize("rule", boxes.RULES)
def test_a_channel_axis_is_allowed_and_shapes_are_static(rule):
    maps = tf.constant(smooth_maps(np.random.default_rng(2), 3, 6, 8, 1))
    found = boxes.find_boxes(maps[..., tf.newaxis], THRESHOLDS, rule=rule)
    np.testing.assert_array_equal(found, FIND_BOXES[rule](maps, THRESHOLDS))
    traced = tf.function(lambda m: boxes.find_boxes(m, THRESHOLDS, rule=rule)).get_concrete_function(maps)
    assert traced.output_shapes == (3, 19, 4)
    assert FIND_BOXES[rule](maps[:0], THRESHOLDS).shape == (0, 19, 4)


@pytest.mark.parametrize("rule", boxes.RULES)
def test_a_saved_model_gives_the_same_boxes_without_python_ops(rule, tmp_path):
    module = tf.Module()
    module.find = FIND_BOXES[rule]
    tf.saved_model.save(module, str(tmp_path), signatures=module.find.get_concrete_function())
    maps = smooth_maps(np.random.default_rng(3), 5, 10, 10, 2)
    served = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]
    found = next(iter(served(maps=tf.constant(maps), thresholds=tf.constant(THRESHOLDS)).values()))
    np.testing.assert_array_equal(found, FIND_BOXES[rule](maps, THRESHOLDS))
    graph = module.find.get_concrete_function().graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    ops = {node.op for node in nodes}
    assert not {op for op in ops if "Py" in op}
    assert "Max" in ops or "UnsortedSegmentMin" in ops


FIND_LARGEST_BOXES = {
    count: tf.function(lambda m, count=count: boxes.find_largest_boxes(m, 0.5, max_boxes=count), input_signature=[MAP])
    for count in (1, 2, 4)
}


@pytest.mark.parametrize("max_boxes", FIND_LARGEST_BOXES)
@pytest.mark.parametrize(("height", "width", "passes"), [(11, 14, 2), (7, 7, 0), (1, 12, 0), (16, 16, 1)])
def test_the_largest_boxes_are_those_of_the_largest_components(max_boxes, height, width, passes):
    maps = smooth_maps(np.random.default_rng(width), 60, height, width, passes)
    maps[0] = 0
    found, counts = (value.numpy() for value in FIND_LARGEST_BOXES[max_boxes](maps))
    for box, count, on in zip(found, counts, maps > 0.5):
        extents = largest_extents(on, max_boxes)
        expected = (extents + [0, 0, 1, 1]) / [height, width, height, width]
        expected[extents[:, 0] < 0] = 0
        if not on.any():
            expected[0] = [0, 0, 1, 1]
        assert count == max(1, (extents[:, 0] >= 0).sum())
        np.testing.assert_allclose(box, expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(found[:, 0], FIND_BOXES["largest"](maps, [0.5])[:, 0])


def test_the_largest_boxes_by_threshold_are_those_at_each_threshold():
    maps, thresholds = smooth_maps(np.random.default_rng(5), 12, 9, 11, 1), [0.7, 0.3, 2.0]
    found = boxes.find_largest_boxes_by_threshold(maps, thresholds, max_boxes=3)
    for i, threshold in enumerate(thresholds):
        for values, expected in zip(found, boxes.find_largest_boxes(maps, threshold, max_boxes=3)):
            np.testing.assert_array_equal(values[:, i], expected)


def test_the_largest_boxes_of_maps_with_nan_plateaus_or_no_on_pixel():
    maps = np.zeros([4, 5, 9], np.float32)
    maps[0] = np.nan
    maps[1, 0, :3] = maps[1, 2, 2:7] = 1
    maps[1, 2, 4] = np.nan  # splits the second component
    maps[2] = 0.5  # at the threshold: off
    maps[3, ::2, ::2] = 1  # more components than boxes
    found, counts = (value.numpy() for value in FIND_LARGEST_BOXES[4](maps))
    assert counts.tolist() == [1, 3, 1, 4]
    assert found.dtype == np.float32 and counts.dtype == np.int64
    whole, none = [0, 0, 1, 1], [0, 0, 0, 0]
    np.testing.assert_array_equal(found[0], [whole, none, none, none])
    np.testing.assert_array_equal(found[2], [whole, none, none, none])
    pixels = found * [5, 9, 5, 9]
    np.testing.assert_allclose(pixels[1], [[0, 0, 1, 3], [2, 2, 3, 4], [2, 5, 3, 7], none], atol=1e-5)
    np.testing.assert_allclose(pixels[3], [[0, 2 * i, 1, 2 * i + 1] for i in range(4)], atol=1e-5)


def test_the_largest_boxes_have_static_shapes():
    maps = tf.zeros([3, 6, 8, 1])
    traced = tf.function(lambda m: boxes.find_largest_boxes(m, 0.5, max_boxes=4)).get_concrete_function(maps)
    assert [tuple(shape) for shape in traced.output_shapes] == [(3, 4, 4), (3,)]
    found, counts = FIND_LARGEST_BOXES[2](tf.zeros([0, 6, 8]))
    assert (found.shape, counts.shape) == ((0, 2, 4), (0,))


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="rule must be .* got 'best'"):
        boxes.find_boxes(tf.zeros([1, 2, 2]), [0.5], rule="best")
    with pytest.raises(ValueError, match=r"activation_map .* got \(1, 2, 2, 3\)"):
        boxes.find_boxes(tf.zeros([1, 2, 2, 3]), [0.5])
    with pytest.raises(ValueError, match=r"thresholds .*\[T\]"):
        boxes.find_boxes(tf.zeros([1, 2, 2]), 0.5)


def test_iou_of_worked_examples():
    a = tf.constant([0.0, 0.0, 0.5, 0.5], tf.float64)
    b = tf.constant(
        [
            [0, 0, 0.5, 0.5],  # itself
            [0, 0, 1, 0.5],  # twice as large
            [0.25, 0.25, 0.75, 0.75],  # a quarter of each: 1 / 7
            [0, 0.5, 0.5, 1],  # touching
            [0.6, 0.6, 1, 1],  # apart
            [0.25, 0, 0.25, 0.5],  # no area
            [0.5, 0.5, 0, 0],  # edges exchanged
        ],
        tf.float64,
    )
    found = boxes.iou(a, b)
    assert found.dtype == tf.float64
    np.testing.assert_allclose(found, [1, 0.5, 1 / 7, 0, 0, 0, 0], rtol=0, atol=1e-15)
    assert boxes.iou(b[-2], b[-2]).numpy() == 0


def test_iou_counts_pixels_and_broadcasts():
    rng = np.random.default_rng(4)
    corners = np.sort(rng.integers(0, 9, (2, 30, 2, 2)), axis=2)  # two sides of each box along both axes
    a, b = corners.reshape(2, 30, 4).astype(np.float32)
    y, x = np.mgrid[:8, :8]

    def mask(box):
        return (y >= box[0]) & (y < box[2]) & (x >= box[1]) & (x < box[3])

    expected = np.zeros([30, 30])
    for i in range(30):
        for j in range(30):
            union = (mask(a[i]) | mask(b[j])).sum()
            expected[i, j] = (mask(a[i]) & mask(b[j])).sum() / union if union else 0
    np.testing.assert_allclose(boxes.iou(a[:, np.newaxis], b[np.newaxis]), expected, rtol=0, atol=1e-6)
