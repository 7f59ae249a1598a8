import numpy as np
import pytest

from ornet_tf.reproduction import charts
from ornet_tf.reproduction.charts import Series

BLUE, ORANGE = charts._COLOURS[:2]


def near(image, colour):
    return np.abs(image.astype(int) - colour).sum(axis=2) < 60


def columns_of(image, colour, rows=slice(None)):
    return np.flatnonzero(near(image[rows], colour).any(axis=0))


def rows_of(image, colour):
    return np.flatnonzero(near(image, colour).any(axis=1))


def test_higher_values_are_drawn_higher_and_each_series_has_its_colour():
    series = [Series("high", [0, 1], [80, 80]), Series("low", [0, 1], [20, 20])]
    image = charts.lines(series, title="t", x_label="x", y_label="y")
    plot = image[: charts._HEIGHT - 60]
    assert rows_of(plot, BLUE).max() < rows_of(plot, ORANGE).min()


def test_intervals_reach_as_far_as_they_say():
    images = [
        charts.lines([Series("a", [0, 1], [50, 50], [low, low], [100, 100])], title="", x_label="", y_label="")
        for low in (50, 0)
    ]
    heights = [rows_of(image[: charts._HEIGHT - 60], BLUE) for image in images]
    assert heights[0].min() == heights[1].min() and heights[1].max() > heights[0].max() + 100


def test_bars_are_as_long_as_their_values_and_parts_follow_each_other():
    image = charts.bars(["a", "b"], [Series("p", (), [30, 10]), Series("q", (), [10, 30])], title="", x_label="")
    first, second = slice(50, 70), slice(84, 104)
    lengths = [len(columns_of(image, colour, rows)) for rows in (first, second) for colour in (BLUE, ORANGE)]
    assert lengths[0] == pytest.approx(3 * lengths[1], abs=3) and lengths[3] == pytest.approx(3 * lengths[2], abs=3)
    assert columns_of(image, BLUE, first).max() < columns_of(image, ORANGE, first).min()


def test_bins_are_steps():
    image = charts.lines([Series("h", [0, 0.5, 1], [10, 90])], title="", x_label="", y_label="", steps=True)
    plot = image[: charts._HEIGHT - 60]
    left, right = plot[:, :400], plot[:, 600:]
    assert rows_of(left, BLUE).min() > rows_of(right, BLUE).max()


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0, 100, list(range(0, 101, 20))),
        (0.05, 0.12, [0.05, 0.06, 0.07, 0.08, 0.09, 0.1, 0.11, 0.12]),
        (3, 3, [3]),
    ],
)
def test_ticks_are_round_numbers(low, high, expected):
    assert charts.ticks(low, high) == pytest.approx(expected)


@pytest.mark.parametrize(("x", "steps"), [([0, 1, 2], False), ([0, 1], True), ([], False)])
def test_series_that_do_not_fit_are_named(x, steps):
    with pytest.raises(ValueError, match="Series 'odd': expected .* got"):
        charts.lines([Series("odd", x, [1, 2])], title="", x_label="", y_label="", steps=steps)


def test_nothing_can_not_be_drawn():
    with pytest.raises(ValueError, match="at least one series"):
        charts.lines([], title="", x_label="", y_label="")
    with pytest.raises(ValueError, match="each of 1 labels"):
        charts.bars(["a"], [Series("p", (), [1, 2])], title="", x_label="")
