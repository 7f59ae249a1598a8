"""The pixels that the other erasing strategies erase; erasing_test.py has their common contract."""
import functools

import numpy as np
import pytest
import tensorflow as tf

from ornet_tf.erasing import above_threshold, attentive, random, restricted_rectangle
from ornet_tf.errors import UserError
from tests.erasing.tiny_maps import keys, map_with_peak, random_maps

STRATEGIES = (random, above_threshold, restricted_rectangle)


def erased(strategy, maps, **options):
    """Returns the erased pixels of maps without zeros: bool [B, h, w]."""
    return tf.function(functools.partial(strategy.erase, **options))(maps, keys(len(maps))).numpy()[..., 0] == 0.0


def test_a_random_rectangle_is_uniform_and_independent_of_the_map():
    count, rows, columns = 4000, 9, 12
    lost = erased(random, map_with_peak(count, rows, columns, (0, 0)), side=(0.0, 0.0))
    assert (lost.sum(axis=(1, 2)) == 1).all()  # a rectangle of size 0 contains only its central pixel
    rates, expected = lost.mean(axis=0), 1 / (rows * columns)
    assert (np.abs(rates - expected) < 5.0 * np.sqrt(expected / count)).all()
    np.testing.assert_array_equal(lost, erased(random, random_maps(count, rows, columns), side=(0.0, 0.0)))


def test_a_random_rectangle_is_erased_whole_with_sides_in_the_range():
    lost = erased(random, random_maps(2000, 41, 41), side=(0.2, 0.5))
    heights, widths = lost.any(axis=2).sum(axis=1), lost.any(axis=1).sum(axis=1)
    np.testing.assert_array_equal(lost.sum(axis=(1, 2)), heights * widths)
    rows, columns = lost.any(axis=2), lost.any(axis=1)
    inside = ~(rows[:, 0] | rows[:, -1] | columns[:, 0] | columns[:, -1])  # not cut off by the edge
    assert inside.sum() > 200
    for sides in (heights[inside], widths[inside]):
        assert (sides.min(), sides.max()) == (9, 21)
    assert abs(np.corrcoef(heights[inside], widths[inside])[0, 1]) < 4.0 / np.sqrt(inside.sum())


def test_all_pixels_above_the_threshold_are_erased():
    maps = random_maps(20, 9, 7)
    np.testing.assert_array_equal(erased(above_threshold, maps), maps.numpy()[..., 0] > 0.5)
    np.testing.assert_array_equal(erased(above_threshold, maps, candidate_threshold=0.8), maps.numpy()[..., 0] > 0.8)


@pytest.mark.parametrize("u", [0.0, 0.3, 1.0])
def test_all_pixels_above_the_threshold_relative_to_the_peak_are_erased(u):
    maps = random_maps(20, 9, 7)
    values = maps.numpy()[..., 0].astype(np.float64)
    peak, lowest = values.max(axis=(1, 2), keepdims=True), values.min(axis=(1, 2), keepdims=True)
    lost = erased(above_threshold, maps, candidate_depth=(u, u))
    np.testing.assert_array_equal(lost, values >= peak - (peak - lowest) * u)


@pytest.mark.parametrize("peak", [(0, 0), (3, 6), (9, 15)])
def test_the_candidates_in_the_restricted_rectangle_around_the_peak_are_erased(peak):
    y, x = np.mgrid[:10, :16]
    expected = (np.abs(y - peak[0]) <= 0.25 * 10) & (np.abs(x - peak[1]) <= 0.25 * 16)
    lost = erased(restricted_rectangle, map_with_peak(3, 10, 16, peak), side=(0.5, 0.5), candidate_threshold=0.0)
    np.testing.assert_array_equal(lost, np.tile(expected, [3, 1, 1]))
    lost = erased(restricted_rectangle, map_with_peak(3, 10, 16, peak), side=(0.5, 0.5))
    assert [tuple(pixel) for pixel in np.argwhere(lost[0])] == [peak]  # pixels below the threshold are kept


def test_attentive_erasing_drops_half_of_the_pixels_that_both_others_erase():
    maps = random_maps(50, 12, 12)
    options = {"side": (0.3, 0.8), "candidate_depth": (0.2, 0.7)}
    rectangles = erased(restricted_rectangle, maps, side=(0.3, 0.8), candidate_threshold=0.0)
    both = rectangles & erased(above_threshold, maps, candidate_depth=(0.2, 0.7))
    np.testing.assert_array_equal(erased(attentive, maps, drop_probability=1.0, **options), both)
    np.testing.assert_array_equal(erased(restricted_rectangle, maps, **options), both)
    some = erased(attentive, maps, **options)
    assert not (some & ~both).any() and abs(some.sum() / both.sum() - 0.5) < 0.06


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_share_of_erased_examples(strategy):
    share = erased(strategy, random_maps(2000, 4, 5), probability=0.3).any(axis=(1, 2)).mean()
    assert abs(share - 0.3) < 4.0 * np.sqrt(0.3 * 0.7 / 2000)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_kept_pixels_pass_their_gradient_and_erased_ones_get_none(strategy):
    maps = random_maps(6, 7, 11)
    upstream = tf.constant(np.random.default_rng(4).normal(size=maps.shape), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(maps)
        values = strategy.erase(maps, keys(len(maps)))
    lost = values.numpy() == 0.0
    assert lost.any() and not lost.all()
    gradient = tape.gradient(values, maps, output_gradients=upstream)
    np.testing.assert_array_equal(gradient, np.where(lost, 0.0, upstream.numpy()))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_wrong_options_and_shapes_are_refused(strategy):
    with pytest.raises(ValueError, match="probability must be a number between 0 and 1, got 1.5"):
        strategy.erase(random_maps(2, 4, 4), keys(2), probability=1.5)
    name = "candidate_depth" if strategy is above_threshold else "side"
    with pytest.raises(UserError, match=rf"{name} must be two numbers \(min, max\), got 0.5"):
        strategy.erase(random_maps(2, 4, 4), keys(2), **{name: 0.5})
    with pytest.raises(ValueError, match=r"activation_map must have shape \[B, h, w, 1\]"):
        strategy.erase(tf.zeros([2, 4, 4]), keys(2))
