"""Parts of components, compared with a slow implementation that treats one component after the other."""
import numpy as np
import pytest
import tensorflow as tf

from ornet_tf.maps import boxes, parts
from tests.maps.boxes_test import smooth_maps
from tests.maps.components_test import flood_fill

SIGNATURE = [tf.TensorSpec([None, None, None], tf.float32), tf.TensorSpec([None, None, None], tf.bool)]
LABEL_PARTS = tf.function(parts.label_parts, input_signature=SIGNATURE)
LEVELS, SHARE = 8, 0.1


def slow_levels(one, is_on):
    height, width = one.shape
    smooth = np.zeros([height, width], np.float32)
    for y in range(height):
        for x in range(width):
            around = np.where(is_on, one, 0)[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
            smooth[y, x] = around.mean(dtype=np.float64)
    return np.where(is_on, np.clip(np.ceil(LEVELS * smooth / max(smooth.max(), 1e-9)), 1, LEVELS), 0)


def slow_growth(labels, is_on):
    """Grows labels by one pixel at a time; of several neighbours the highest label wins."""
    while True:
        padded = np.pad(labels, 1)
        height, width = labels.shape
        around = np.max([padded[i : i + height, j : j + width] for i in range(3) for j in range(3)], axis=0)
        grown = np.where(is_on & (labels == 0), around, labels)
        if np.array_equal(grown, labels):
            return labels
        labels = grown


def slow_parts(levels):
    labels = np.zeros(levels.shape, int)
    for level in range(LEVELS, 0, -1):
        component = flood_fill(levels >= level)
        for own in np.unique(component[component > 0]):
            inside = component == own
            names, areas = np.unique(labels[inside & (labels > 0)], return_counts=True)
            if not names.size:
                labels[inside] = own
                continue
            kept = names[areas >= SHARE * areas.max()]
            labels = np.where(inside, np.where(np.isin(labels, kept), labels, 0), labels)
            labels = slow_growth(labels, inside) if len(kept) > 1 else np.where(inside, kept[0], labels)
    return labels


def discs(*places, side=24):
    """Returns a binary map of discs (y, x, radius)."""
    y, x = np.mgrid[:side, :side]
    return np.any([(y - cy) ** 2 + (x - cx) ** 2 <= r**2 for cy, cx, r in places], axis=0)


def boxes_of(one, threshold=0.5, most=5):
    """Returns the boxes of the parts of one map in pixels, the largest first."""
    maps = np.float32(one)[np.newaxis]
    extents = parts.ranked_extents(LABEL_PARTS(maps, maps > threshold), max_parts=most)[0].numpy()
    return [[top, left, bottom + 1, right + 1] for top, left, bottom, right in extents if bottom >= top]


@pytest.mark.parametrize(("height", "width", "passes"), [(11, 14, 2), (7, 7, 0), (1, 12, 0), (16, 20, 1), (20, 20, 3)])
def test_parts_are_those_of_the_slow_implementation(height, width, passes):
    maps = smooth_maps(np.random.default_rng(width), 30, height, width, passes)
    maps = np.round(maps * 64) / 64  # so that means do not depend on the order of sums
    is_on = maps > 0.5
    found = LABEL_PARTS(maps, is_on).numpy()
    for one, on, labels in zip(maps, is_on, found):
        np.testing.assert_array_equal(labels, slow_parts(slow_levels(one, on)))
    assert np.array_equal(found > 0, is_on)


def test_parts_lie_inside_components():
    maps = smooth_maps(np.random.default_rng(0), 20, 18, 18, 2)
    found = LABEL_PARTS(maps, maps > 0.4).numpy()
    for one, labels in zip(maps, found):
        component = flood_fill(one > 0.4)
        for name in np.unique(labels[labels > 0]):
            assert len(np.unique(component[labels == name])) == 1
    assert any(len(np.unique(labels)) > len(np.unique(flood_fill(one > 0.4))) for one, labels in zip(maps, found))


def test_discs_that_touch_are_split_and_a_single_one_is_not():
    touching = discs((8, 6, 5), (8, 16, 5))
    assert len(np.unique(flood_fill(touching))) == 2  # one component and the background
    first, second = sorted(boxes_of(touching), key=lambda box: box[1])
    np.testing.assert_allclose([first, second], [[3, 1, 14, 12], [3, 11, 14, 22]], atol=1)
    assert boxes_of(discs((10, 10, 7))) == [[3, 3, 18, 18]]
    long = np.zeros([24, 24], bool)
    long[4:8, 1:23] = True
    assert boxes_of(long) == [[4, 1, 8, 23]]


def test_two_hills_are_split_at_the_valley_between_them():
    y, x = np.mgrid[:24, :24]
    hills = [np.exp(-((y - 12) ** 2 + (x - centre) ** 2) / 18) for centre in (6, 17)]
    one = np.maximum(*hills)
    first, second = sorted(boxes_of(one, 0.15), key=lambda box: box[1])
    assert abs(first[3] - 12) <= 1 and abs(second[1] - 12) <= 1
    assert len(boxes_of(one, 0.8)) == 2


def test_a_small_bump_is_no_part():
    one = discs((10, 9, 7), (10, 18, 2))
    assert boxes_of(one) == [[3, 2, 18, 21]]


def test_parts_are_ordered_by_area_and_missing_ones_are_empty():
    one = discs((6, 6, 3), (16, 14, 5))
    assert boxes_of(one) == [[11, 9, 22, 20], [3, 3, 10, 10]]
    assert boxes_of(one, most=1) == [[11, 9, 22, 20]]
    labels = LABEL_PARTS(np.zeros([2, 3, 1], np.float32), np.zeros([2, 3, 1], bool))
    extents = parts.ranked_extents(labels, max_parts=5).numpy()
    assert extents.shape == (2, 5, 4) and np.all(extents[..., 2] < extents[..., 0])


def test_maps_do_not_depend_on_their_batch():
    maps = smooth_maps(np.random.default_rng(3), 9, 12, 12, 1)
    together = LABEL_PARTS(maps, maps > 0.5).numpy()
    for one, labels in zip(maps, together):
        np.testing.assert_array_equal(LABEL_PARTS(one[np.newaxis], one[np.newaxis] > 0.5)[0], labels)
    assert LABEL_PARTS(maps[:0], maps[:0] > 0.5).shape == (0, 12, 12)


def test_boxes_of_parts_are_those_of_each_map_and_threshold():
    maps = smooth_maps(np.random.default_rng(4), 7, 14, 10, 1)
    maps[0] = 0
    thresholds = [0.6, 0.3]
    found, counts = boxes.find_largest_boxes_by_threshold(maps, thresholds, max_boxes=3, split_map=maps)
    assert found.shape == (7, 2, 3, 4)
    for one, image_boxes, image_counts in zip(maps, found.numpy(), counts.numpy()):
        for threshold, some, count in zip(thresholds, image_boxes, image_counts):
            expected = boxes_of(one, threshold, most=3) or [[0, 0, 14, 10]]
            assert count == len(expected)
            np.testing.assert_allclose(some[:count] * [14, 10, 14, 10], expected, rtol=0, atol=1e-5)
            assert not some[count:].any()


def test_a_map_of_another_resolution_splits_a_binary_one():
    binary = np.zeros([1, 16, 24], np.float32)
    binary[0, 4:12, 2:22] = 1
    split_map = np.zeros([1, 8, 12], np.float32)
    split_map[0, 2:6, 1:5] = 0.9
    split_map[0, 2:6, 7:11] = 0.7
    found, count = boxes.find_largest_boxes(binary, 0.5, max_boxes=3, split_map=split_map)
    assert count == [2]
    left, right = sorted(found[0, :2].numpy().tolist(), key=lambda box: box[1])
    assert left[1] == pytest.approx(2 / 24) and right[3] == pytest.approx(22 / 24)
    assert abs(left[3] - 0.5) <= 1 / 24 and abs(right[1] - 0.5) <= 1 / 24
    for dtype in (tf.float16, tf.float64):
        cast = tf.cast(split_map[..., np.newaxis], dtype)
        np.testing.assert_array_equal(boxes.find_largest_boxes(binary, 0.5, max_boxes=3, split_map=cast)[0], found)
    with pytest.raises(ValueError, match="^split_map must have the shape"):
        boxes.find_largest_boxes(binary, 0.5, max_boxes=3, split_map=split_map[0])
    with_nan = np.where(split_map > 0, split_map, np.nan)
    np.testing.assert_array_equal(boxes.find_largest_boxes(binary, 0.5, max_boxes=3, split_map=with_nan)[1], count)
