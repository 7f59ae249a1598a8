"""All erasing strategies follow the contract of erasing; attentive erasing has the statistics of section 3.2.2.

All random draws have fixed seeds, so the tests are deterministic.
"""
import functools
import inspect

import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import registry
from ornet_tf.erasing import attentive
from ornet_tf.errors import UserError
from tests.erasing.tiny_maps import keys, map_with_peak, random_maps

STRATEGIES = registry.choices("erasing")
EVERYWHERE = {"side": (2.0, 2.0), "candidate_threshold": 0.0}


def dropped(maps, **options):
    """Returns the pixels of maps without zeros that attentive erasing drops: bool [B, h, w]."""
    erase = tf.function(functools.partial(attentive.erase, **options), autograph=False)
    return erase(maps, keys(len(maps))).numpy()[..., 0] == 0.0


@pytest.mark.parametrize("name", STRATEGIES)
def test_map_and_keys_are_positional_and_options_are_keywords_with_defaults(name):
    parameters = list(inspect.signature(registry.find("erasing", name)).parameters.values())
    assert [p.name for p in parameters[:2]] == ["activation_map", "keys"]
    assert all(p.default is inspect.Parameter.empty for p in parameters[:2])
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in parameters[2:])


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
@pytest.mark.parametrize("maps", [random_maps(3, 9, 5), tf.ones([2, 4, 8, 1]), tf.zeros([1, 7, 7, 1])])
def test_shape_dtype_and_range_are_kept_and_equal_keys_give_equal_maps(name, maps, dtype):
    erase, maps = registry.find("erasing", name), tf.cast(maps, dtype)
    erased = erase(maps, keys(len(maps)))
    assert erased.shape == maps.shape and erased.dtype == dtype
    values = tf.cast(erased, tf.float32).numpy()
    assert (values >= 0.0).all() and (values <= 1.0).all()
    np.testing.assert_array_equal(values, tf.cast(erase(maps, keys(len(maps))), tf.float32))


@pytest.mark.parametrize("name", STRATEGIES)
def test_other_keys_erase_other_pixels(name):
    erase, maps = registry.find("erasing", name), random_maps(16, 12, 12)
    # Without a random threshold, `above_threshold` only chooses the examples at random.
    first, second = (erase(maps, keys(16, seed=seed), probability=0.5).numpy() for seed in (1, 2))
    assert (first != second).any() and (first != maps.numpy()).any()


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_graph_of_unknown_sizes_gives_the_same_maps_without_state(name):
    erase, maps = registry.find("erasing", name), random_maps(5, 8, 13)
    signature = [tf.TensorSpec([None, None, None, 1]), tf.TensorSpec([None, 2], tf.int64)]
    concrete = tf.function(erase, input_signature=signature).get_concrete_function()
    np.testing.assert_array_equal(concrete(maps, keys(5)), erase(maps, keys(5)))
    assert not concrete.variables
    assert not [op.type for op in concrete.graph.get_operations() if op.op_def.is_stateful]
    known = tf.function(erase).get_concrete_function(tf.TensorSpec([5, 8, 13, 1]), signature[1])
    assert known.structured_outputs.shape == [5, 8, 13, 1]


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_erasing_of_an_example_does_not_depend_on_its_batch(name):
    erase, maps = registry.find("erasing", name), random_maps(6, 9, 7)
    together = erase(maps, keys(6)).numpy()
    apart = [erase(part, key).numpy() for part, key in zip(tf.split(maps, [2, 4]), tf.split(keys(6), [2, 4]))]
    np.testing.assert_array_equal(together, np.concatenate(apart))
    np.testing.assert_array_equal(together[::-1], erase(maps[::-1], keys(6)[::-1]))


@pytest.mark.parametrize("drop_probability", [0.0, 0.2, 0.5, 1.0])
def test_candidates_are_dropped_independently_with_the_given_probability(drop_probability):
    lost = dropped(random_maps(2000, 8, 6), drop_probability=drop_probability, **EVERYWHERE)
    variance = drop_probability * (1.0 - drop_probability)
    assert abs(lost.mean() - drop_probability) <= 4.0 * np.sqrt(variance / lost.size)
    # The number per map spreads as that of 48 independent pixels; a correlation of 0.01 between them would give 1.47.
    np.testing.assert_allclose(lost.sum(axis=(1, 2)).var(), 48 * variance, rtol=0.15)


def test_the_default_drop_probability_is_the_papers():
    assert abs(dropped(random_maps(500, 8, 8), **EVERYWHERE).mean() - 0.5) < 0.02


@pytest.mark.parametrize("drop_probability", [0.0, 1.0])
def test_adaptive_erasing_drops_each_pixel_with_its_value_as_probability(drop_probability):
    single = np.linspace(0.02, 1.0, 24, dtype=np.float32).reshape(1, 4, 6, 1)
    maps = tf.constant(np.tile(single, [5000, 1, 1, 1]))
    rate = dropped(maps, adaptive=True, drop_probability=drop_probability, **EVERYWHERE).mean(axis=0)
    tolerance = 4.0 * np.sqrt(single * (1.0 - single) / 5000)[0, ..., 0]
    assert (np.abs(rate - single[0, ..., 0]) <= tolerance + 1e-9).all()


@pytest.mark.parametrize("peak", [(0, 0), (3, 6), (9, 15), (0, 11)])
def test_the_rectangle_is_centred_on_the_peak_and_pixels_outside_are_kept(peak):
    maps = map_with_peak(3, 10, 16, peak)
    lost = dropped(maps, side=(0.5, 0.5), candidate_threshold=0.0, drop_probability=1.0)
    y, x = np.mgrid[:10, :16]
    expected = (np.abs(y - peak[0]) <= 0.25 * 10) & (np.abs(x - peak[1]) <= 0.25 * 16)
    np.testing.assert_array_equal(lost, np.tile(expected, [3, 1, 1]))


def test_of_equal_peaks_the_first_in_raster_order_is_the_centre():
    single = np.full([6, 9], 0.1, np.float32)
    single[1, 7] = single[2, 0] = single[5, 8] = 0.8
    lost = dropped(tf.constant(single[None, :, :, None]), side=(0.0, 0.0), drop_probability=1.0)
    assert np.argwhere(lost[0]).tolist() == [[1, 7]]


def test_height_and_width_are_independent_and_uniform_over_the_range():
    count, size, low, high = 4000, 41, 0.2, 0.9
    maps = map_with_peak(count, size, size, (20, 20))
    lost = dropped(maps, side=(low, high), candidate_threshold=0.0, drop_probability=1.0)
    heights, widths = lost.any(axis=2).sum(axis=1), lost.any(axis=1).sum(axis=1)
    assert (lost.sum(axis=(1, 2)) == heights * widths).all()
    # A rectangle of side s around a pixel's centre holds the centres of 2 floor(s / 2) + 1 pixels.
    expected = np.sort(2 * np.floor(np.linspace(low, high, 100001) * size / 2) + 1)
    for sides in (heights, widths):
        assert sides.min() == expected[0] and sides.max() == expected[-1]
        points = np.unique(expected)
        shares = [np.searchsorted(np.sort(s), points, side="right") / len(s) for s in (sides, expected)]
        assert np.abs(shares[0] - shares[1]).max() < 1.63 / np.sqrt(count)
    assert abs(np.corrcoef(heights, widths)[0, 1]) < 4.0 / np.sqrt(count)


def test_candidates_are_higher_than_the_threshold_by_default_half():
    single = np.float32([0.1, 0.5, np.nextafter(np.float32(0.5), np.float32(1)), 0.9]).reshape(1, 2, 2)
    lost = dropped(tf.constant(single[..., None]), side=(2.0, 2.0), drop_probability=1.0)
    np.testing.assert_array_equal(lost, single > 0.5)
    lost = dropped(tf.constant(single[..., None]), side=(2.0, 2.0), drop_probability=1.0, candidate_threshold=0.9)
    assert not lost.any()  # a map without higher pixels stays whole


@pytest.mark.parametrize("u", [0.0, 0.3, 0.75, 1.0])
def test_candidates_lie_above_the_threshold_between_peak_and_minimum(u):
    maps = random_maps(20, 9, 7)
    lost = dropped(maps, side=(2.0, 2.0), candidate_depth=(u, u), drop_probability=1.0)
    values = maps.numpy()[..., 0].astype(np.float64)
    peak, lowest = values.max(axis=(1, 2), keepdims=True), values.min(axis=(1, 2), keepdims=True)
    np.testing.assert_array_equal(lost, values >= peak - (peak - lowest) * u)


def test_the_threshold_is_uniform_over_the_range_and_drawn_per_example():
    count, ramp = 3000, np.linspace(0.1, 0.6, 501, dtype=np.float32)
    maps = tf.constant(np.tile(ramp[None, None, :, None], [count, 1, 1, 1]))
    lost = dropped(maps, side=(2.0, 2.0), candidate_depth=(0.2, 0.7), drop_probability=1.0)
    u = (lost.sum(axis=(1, 2)) - 0.5) / 500.0
    assert u.min() > 0.195 and u.max() < 0.705
    expected = 0.2 + 0.5 * (np.arange(count) + 0.5) / count
    assert np.abs(np.sort(u) - expected).max() < 0.5 * 1.63 / np.sqrt(count) + 0.002
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 4.0 / np.sqrt(count)


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_the_share_of_erased_examples(probability):
    erased = dropped(random_maps(4000, 3, 4), probability=probability, drop_probability=1.0, **EVERYWHERE)
    assert set(erased.sum(axis=(1, 2))) <= {0, 12}
    share = erased.any(axis=(1, 2)).mean()
    assert abs(share - probability) <= 4.0 * np.sqrt(probability * (1.0 - probability) / 4000)


def test_equal_examples_of_a_batch_are_erased_independently():
    lost = dropped(map_with_peak(2000, 9, 9, (4, 4)), probability=0.5, candidate_threshold=0.0)
    erased = lost.any(axis=(1, 2)).astype(np.float64)
    assert abs(np.corrcoef(erased[:-1], erased[1:])[0, 1]) < 4.0 / np.sqrt(2000)
    everywhere = dropped(map_with_peak(2000, 9, 9, (4, 4)), **EVERYWHERE).astype(np.float64)
    agreement = (everywhere[:-1] == everywhere[1:]).mean()
    assert abs(agreement - 0.5) < 4.0 * 0.5 / np.sqrt(81 * 2000)


@pytest.mark.parametrize("transposed", [False, True])
def test_side_threshold_and_being_erased_are_independent(transposed):
    # Falls off to both sides of the middle column, so that the threshold shows there and one side along the column.
    single = np.tile(0.9 - 0.8 * np.abs(np.linspace(-1.0, 1.0, 101)), [101, 1])
    single[50, 50] += 0.001
    maps = tf.constant(np.tile((single.T if transposed else single)[None, :, :, None], [1000, 1, 1, 1]), tf.float32)
    options = {"side": (0.42, 0.9), "candidate_depth": (0.05, 0.4), "probability": 0.5}
    lost = dropped(maps, drop_probability=1.0, **options)
    lost = lost[lost.any(axis=(1, 2))].transpose(0, 2, 1) if transposed else lost[lost.any(axis=(1, 2))]
    side, u = lost.any(axis=2).sum(axis=1) / 101, (lost.any(axis=1).sum(axis=1) - 1) / 100
    assert abs(np.corrcoef(side, u)[0, 1]) < 4.0 / np.sqrt(len(u))
    assert abs(side.mean() - 0.66) < 0.03 and abs(u.mean() - 0.225) < 0.03


def test_which_pixels_are_dropped_is_independent_of_being_erased():
    rates = dropped(random_maps(4000, 2, 2), probability=0.5, **EVERYWHERE).mean(axis=0)
    assert (np.abs(rates - 0.25) < 4.0 * np.sqrt(0.25 * 0.75 / 4000)).all()


def test_a_constant_map_is_erased_around_its_first_pixel_and_a_zero_map_stays_zero():
    for value in (0.3, 0.7, 1.0):  # rounding must not remove the candidates of a constant map
        maps = tf.fill([50, 6, 10, 1], value)
        lost = dropped(maps, side=(1.0, 1.0), candidate_depth=(0.0, 0.5), drop_probability=1.0)
        assert lost[:, :4, :6].all() and not lost[:, 4:].any() and not lost[:, :, 6:].any()
    assert not attentive.erase(tf.zeros([3, 6, 10, 1]), keys(3), drop_probability=1.0).numpy().any()


@pytest.mark.parametrize("adaptive", [False, True])
def test_kept_pixels_pass_their_gradient_and_dropped_ones_get_none(adaptive):
    maps = random_maps(6, 7, 11)
    upstream = tf.constant(np.random.default_rng(4).normal(size=maps.shape), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(maps)
        erased = attentive.erase(maps, keys(len(maps)), adaptive=adaptive)
    gradient = tape.gradient(erased, maps, output_gradients=upstream).numpy()
    lost = erased.numpy() == 0.0
    assert lost.any() and not lost.all()
    np.testing.assert_array_equal(gradient, np.where(lost, 0.0, upstream.numpy()))
    np.testing.assert_array_equal(erased.numpy()[~lost], maps.numpy()[~lost])


@pytest.mark.parametrize(
    "options, message",
    [
        ({"probability": 1.5}, "probability must be a number between 0 and 1, got 1.5"),
        ({"probability": float("nan")}, "probability must be a number between 0 and 1, got nan"),
        ({"drop_probability": -0.1}, "drop_probability must be a number between 0 and 1"),
        ({"drop_probability": "0.5"}, "drop_probability must be a number, got '0.5'"),
        ({"side": (0.8, 0.4)}, r"side must be .* between 0 and 2"),
        ({"side": (4, 28)}, r"side must be .* between 0 and 2, got \(4, 28\)"),
        ({"side": 0.5}, r"side must be two numbers \(min, max\), got 0.5"),
        ({"side": (0.1, 0.2, 0.3)}, r"side must be two numbers"),
        ({"candidate_threshold": 1.1}, "candidate_threshold must be a number between 0 and 1"),
        ({"candidate_depth": (0.0, 1.1)}, "candidate_depth must be two numbers"),
        ({"adaptive": "no"}, "adaptive must be True or False, got 'no'"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        attentive.erase(random_maps(2, 4, 4), keys(2), **options)


@pytest.mark.parametrize("shape", [[2, 4, 4], [2, 4, 4, 3]])
def test_other_shapes_than_one_map_per_example_are_refused(shape):
    with pytest.raises(ValueError, match=r"activation_map must have shape \[B, h, w, 1\]"):
        attentive.erase(tf.zeros(shape), keys(2))
