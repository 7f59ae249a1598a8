"""Contours against OpenCV, where it is installed, and by hand."""
import functools

import numpy as np
import pytest
import tensorflow as tf

from ornet_tf.maps import contours

NONE = (0, 0, -1, -1)


@functools.cache
def largest():
    return tf.function(contours.largest_extents, reduce_retracing=True)


def nearness(extents, truth):
    """A score that tells any two boxes apart, nearly always: how near each is to a random one."""
    return 1.0 / (1.0 + tf.reduce_sum(tf.abs(tf.cast(extents, tf.float64) - truth), axis=-1))


@functools.cache
def nearest():
    return tf.function(
        lambda levels, count, truth: contours.best_score(levels, count, nearness, truth), reduce_retracing=True
    )


def by_opencv(on):
    """Returns the extents of the contour with the largest area, and those of all contours."""
    cv2 = pytest.importorskip("cv2", reason="needs opencv-python-headless, the oracle")
    found = cv2.findContours(on.astype(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[-2]

    def extents(contour):
        x, y, width, height = cv2.boundingRect(contour)
        return y, x, y + height - 1, x + width - 1

    return (extents(max(found, key=cv2.contourArea)) if found else NONE), {extents(contour) for contour in found}


def noise(rng, shape, count, top):
    return rng.integers(0, top + 1, (count, *shape))


def smooth(rng, shape, count, top):
    """Maps of few hills, as methods predict them."""
    cv2 = pytest.importorskip("cv2", reason="needs opencv-python-headless, the oracle")
    maps = np.stack([cv2.GaussianBlur(rng.random(shape), (0, 0), rng.uniform(0.7, 2.5)) for _ in range(count)])
    low, high = maps.min((1, 2), keepdims=True), maps.max((1, 2), keepdims=True)
    return ((maps - low) / np.maximum(high - low, 1e-9) * top).astype(np.int64)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [noise, smooth])
@pytest.mark.parametrize(
    ("shape", "count", "top"), [((5, 6), 500, 2), ((9, 8), 500, 3), ((1, 7), 50, 2), ((17, 23), 150, 6)]
)
def test_thousands_of_random_maps_have_opencvs_contours(kind, shape, count, top):
    rng = np.random.default_rng([*shape, top])
    maps = kind(rng, shape, count, top)
    truth = rng.uniform(-1, max(shape), (count, 4))
    levels = tf.constant(maps, tf.int32)
    one = largest()(levels, tf.constant(top)).numpy()
    every = nearest()(levels, tf.constant(top), tf.constant(truth)).numpy()
    for index, image in enumerate(maps):
        for level in range(top):
            best, found = by_opencv(image > level)
            assert tuple(one[index, level]) == best, image > level
            score = max([float(nearness(np.array(box), truth[index])) for box in found], default=-1.0)
            assert every[index, level] == pytest.approx(score, abs=1e-12), image > level


def image(text):
    return np.array([[character == "#" for character in line] for line in text.split()], np.int32)[np.newaxis]


def test_the_area_is_that_of_the_polygon_and_not_the_number_of_pixels():
    line_and_square = image("######## ........ ##...... ##......")  # 8 pixels enclose nothing, 4 enclose 1
    assert tuple(largest()(line_and_square, tf.constant(1))[0, 0].numpy()) == (2, 0, 3, 1)


def test_what_is_in_a_hole_counts_for_the_contour_around_it():
    thin_ring = image("#####...... #...#..#### #...#..#### #...#..#### #####......")  # encloses 16; the block 6
    assert tuple(largest()(thin_ring, tf.constant(1))[0, 0].numpy()) == (0, 0, 4, 4)
    ring_in_ring = image("####### #.....# #.###.# #.#.#.# #.###.# #.....# #######")
    assert tuple(largest()(ring_in_ring, tf.constant(1))[0, 0].numpy()) == (0, 0, 6, 6)


def test_of_equal_areas_the_last_one_wins_as_it_is_opencvs_first():
    assert tuple(largest()(image("#.#.# ..... #.#.."), tf.constant(1))[0, 0].numpy()) == (2, 2, 2, 2)


def test_a_hole_has_a_contour_around_it():
    hole = image("####### ####### ###.### ####### #######")
    scores = contours.best_score(hole, tf.constant(1), nearness, tf.constant([[1.0, 2.0, 3.0, 4.0]], tf.float64))
    assert scores[0, 0] == 1.0


def test_a_map_without_a_pixel_has_no_contour():
    nothing = np.zeros([2, 3, 4], np.int32)
    assert np.all(largest()(nothing, tf.constant(2)).numpy() == NONE)
    assert np.all(nearest()(nothing, tf.constant(2), tf.zeros([2, 4], tf.float64)).numpy() == -1)


def test_maps_are_worked_on_in_groups_with_their_own_truth(monkeypatch):
    monkeypatch.setattr("ornet_tf.maps.components._CHUNK_BLOCKS", 40)  # two or three maps
    rng = np.random.default_rng(5)
    levels, truth = tf.constant(noise(rng, (7, 7), 9, 3), tf.int32), tf.constant(rng.uniform(0, 7, (9, 4)))
    together = contours.best_score(levels, tf.constant(3), nearness, truth).numpy()
    for index in range(9):
        alone = contours.best_score(levels[index : index + 1], tf.constant(3), nearness, truth[index : index + 1])
        np.testing.assert_array_equal(together[index], alone[0])


def test_maps_that_are_too_large_are_refused():
    with pytest.raises(tf.errors.InvalidArgumentError, match="at most a million pixels"):
        contours.largest_extents(tf.zeros([1, 1001, 1000], tf.int32), tf.constant(1))
