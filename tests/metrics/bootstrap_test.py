import numpy as np
import pytest

from ornet_tf.metrics import Bootstrap, _bootstrap


def test_sums_are_those_of_a_loop_over_samples(monkeypatch):
    monkeypatch.setattr(_bootstrap, "_MAX_DRAWS", 200)  # seven samples at a time
    monkeypatch.setattr(_bootstrap, "_MAX_IMAGES", 10)
    values = np.random.default_rng(0).random((27, 2, 3))
    rng = np.random.default_rng(4)
    expected = []
    for rows in (7, 7, 6):
        expected += [values[picked].sum(axis=0) for picked in rng.integers(0, 27, [rows, 27])]
    np.testing.assert_allclose(Bootstrap(20, seed=4).sums(values), expected, rtol=1e-12)


def test_samples_without_a_figure_are_left_out():
    bootstrap = Bootstrap(3)
    assert bootstrap.interval(np.array([np.nan, 40.0, 40.0])) == [40.0, 40.0]
    assert bootstrap.interval(np.full(3, np.nan)) == [0.0, 100.0]


def test_the_interval_of_a_share_agrees_with_theory():
    right = np.arange(400) < 120  # 30 %: the standard error is sqrt(0.3 0.7 / 400) = 2.29 points
    bootstrap = Bootstrap(4000, seed=1)
    low, high = bootstrap.interval(100 * bootstrap.sums(right) / 400)
    assert low == pytest.approx(30 - 1.96 * 2.29, abs=0.5)
    assert high == pytest.approx(30 + 1.96 * 2.29, abs=0.5)
    narrow = Bootstrap(4000, seed=1, confidence=0.5)
    low, high = narrow.interval(100 * narrow.sums(right) / 400)
    assert high - low == pytest.approx(2 * 0.674 * 2.29, abs=0.4)


def test_the_draws_are_a_function_of_the_seed():
    values = np.random.default_rng(0).random(30)
    first = Bootstrap(50, seed=3).sums(values)
    np.testing.assert_array_equal(first, Bootstrap(50, seed=3).sums(values))
    assert not np.array_equal(first, Bootstrap(50, seed=4).sums(values))
    # Two columns have the same draws, so differences between rows of an evaluation are paired.
    np.testing.assert_allclose(Bootstrap(50, seed=3).sums(np.stack([values, 1 - values], 1)).sum(axis=1), 30)


def test_without_samples_there_are_no_sums():
    assert Bootstrap(0).sums(np.ones(3)) is None
