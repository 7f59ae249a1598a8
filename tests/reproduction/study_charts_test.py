import numpy as np
import pytest

from ornet_tf.reproduction import study_charts, study_tables
from ornet_tf.reproduction.outcomes import BINS
from tests.reproduction.evaluated_folders import outcome

BLUE, SKY = (0, 114, 178), (86, 180, 233)
ABOVE_LEGEND = 500


def has_colour(image, colour):
    return np.abs(image.astype(int) - colour).sum(axis=2) < 30


def test_bars_are_as_long_as_their_values(tmp_path):
    boxes = [(1, 1), (1, 1), (1, 1), (0.1, 0.1)]
    image = study_charts.failure_bars(study_tables.failures_table([outcome("b", tmp_path, [[1, 1, 1, 0]], boxes)]), "t")
    row = image[len(image) // 3]  # above the legend
    right, wrong = (np.flatnonzero(has_colour(row[np.newaxis], colour)[0]) for colour in (BLUE, SKY))
    assert len(right) == pytest.approx(3 * len(wrong), abs=4) and len(wrong) > 100
    assert right.max() < wrong.min()


def test_intervals_reach_as_far_as_they_say(tmp_path):
    one = outcome("a", tmp_path, [[1, 0, 0, 0]])
    lengths = []
    for interval in ([20, 40], [20, 60]):
        one.runs[0].result["rows"]["r"]["t"]["corloc_interval"] = interval
        drawn = study_charts.score_curves([study_charts.Sweep("x", [1], [one])], "t")
        rows = np.flatnonzero(has_colour(drawn, BLUE).any(axis=1))
        lengths.append(np.ptp(rows[rows < ABOVE_LEGEND]))
    # The axis goes from 0 to a twentieth of the interval above its end.
    assert lengths[1] / lengths[0] == pytest.approx((40 / 62) / (20 / 41), abs=0.02)


def test_each_sweep_has_axes_of_its_own_with_the_same_scale(tmp_path):
    low, high = outcome("low", tmp_path, [[1, 0, 0, 0]]), outcome("high", tmp_path, [[1, 1, 1, 1]])
    sweeps = [study_charts.Sweep("alpha", [1, 2], [low, low]), study_charts.Sweep("beta", [1, 2], [high, high])]
    is_line = has_colour(study_charts.score_curves(sweeps, "t")[:ABOVE_LEGEND], BLUE)
    left, right = (np.argwhere(half) for half in np.array_split(is_line, 2, axis=1))
    assert np.median(left[:, 0]) > np.median(right[:, 0]) + 100  # the line of 25 % lies below that of 100 %


def test_histograms_and_curves_are_as_high_as_their_values():
    shares = np.zeros(BINS)
    shares[[10, 40]] = 30, 70
    image = study_charts.histograms({"a": shares}, "t")
    columns = np.flatnonzero(has_colour(image[:400], BLUE).any(axis=0))
    low, high = (np.flatnonzero(has_colour(image[:, half], BLUE).any(axis=1)).min() for half in (
        slice(None, int(columns.mean())), slice(int(columns.mean()), None)))
    table = study_tables.by_place("c", "t", "x", [0.0, 1.0], {"a": [70.0, 70.0]})
    flat = np.flatnonzero(has_colour(study_charts.curves(table, "t", "x", "y")[:ABOVE_LEGEND], BLUE).any(axis=1))
    assert high < low - 100 and np.ptp(flat) <= 4


def test_scores_are_drawn_where_there_is_truth_and_nothing_where_there_is_none(tmp_path):
    shown = [outcome("a", tmp_path, [[1, 1, 0, 0]]), outcome("b", tmp_path, [[1, 0, 0, 0]])]
    images = [
        study_charts.score_bars(shown, "t"),
        study_charts.score_curves([study_charts.Sweep("x", [1, 2], shown)], "t"),
    ]
    assert all(image.dtype == np.uint8 and image.shape[2] == 3 and image.min() < 100 for image in images)
    for run in (*shown[0].runs, *shown[1].runs):
        run.result["rows"]["r"]["t"].update(corloc=None)
    assert study_charts.score_bars(shown, "t") is None
    assert study_charts.score_curves([study_charts.Sweep("x", [1, 2], shown)], "t") is None
