import numpy as np
import pytest
from ml_collections import ConfigDict

from ornet_tf.reproduction import study_charts
from ornet_tf.reproduction.outcomes import Outcome, Run

BLUE, SKY = (0, 114, 178), (86, 180, 233)
ABOVE_LEGEND = 500


def outcome(label, tmp_path, rights, boxes=None):
    """An outcome with a seed for each list of right boxes, as an evaluation of the row "r" leaves it."""
    runs = []
    for seed, right in enumerate(rights):
        workdir = tmp_path / label / str(seed)
        (workdir / "evaluation").mkdir(parents=True)
        shares = boxes or [(0.3, 0.9)] * len(right)
        lines = [f"p{i},{r},{c},{p}" for i, (r, (c, p)) in enumerate(zip(right, shares))]
        text = "\n".join(["name,right_r,coverage_r,precision_r", *lines, ""])
        (workdir / "evaluation" / "per_image.csv").write_text(text)
        corloc = 100 * sum(right) / len(right)
        summary = {
            "corloc": corloc, "corloc_interval": [corloc - 5, corloc + 5], "corloc_by_threshold": [corloc, 0.0],
            "thresholds": [0.5, 0.9], "threshold": 0.5,
        }
        result = {"metrics": {"p": ["t"]}, "box_rule": "t", "rows": {"r": {"t": summary}}, "bootstrap_samples": 100}
        runs.append(Run(ConfigDict({"seed": seed}), str(workdir), "r", result))
    return Outcome(label, tuple(runs))


def test_figures_of_one_seed_have_intervals_and_of_several_deviations(tmp_path):
    one = study_charts.figures_table([outcome("a", tmp_path, [[1, 1, 0, 0]])])
    assert one.head == ["", "CorLoc"] and one.lines == [["a", "50.0 [45.0, 55.0]"]]
    assert one.numbers == [{"label": "a", "seeds": 1, "corloc": 50, "corloc_low": 45, "corloc_high": 55}]
    two = study_charts.figures_table([outcome("b", tmp_path, [[1, 1, 0, 0], [1, 0, 0, 0]])])
    assert two.lines == [["b", "37.5 ± 17.7"]] and "standard deviation" in two.title


def test_differences_are_paired(tmp_path):
    base = outcome("base", tmp_path, [[1, 0, 0, 0], [1, 1, 0, 0]])
    same, better = outcome("same", tmp_path, [[1, 0, 0, 0], [1, 1, 0, 0]]), outcome("b", tmp_path, [[1, 1, 0, 0]] * 2)
    table = study_charts.differences_table([base, same, better], base)
    assert table.lines[0] == ["same", "0.0 [0.0, 0.0]", "0.0 [0.0, 0.0]", "0.0 ± 0.0"]
    assert table.lines[1][0] == "b" and table.lines[1][1].startswith("25.0 [0.0, ")
    assert table.lines[1][3] == "12.5 ± 17.7" and table.numbers[1]["mean"] == 12.5
    assert study_charts.differences_table([base], base) is None


def test_failures_add_up_to_all_images_of_all_seeds(tmp_path):
    boxes = [(1, 1), (0.1, 1), (1, 0.2), (0.1, 0.1)]
    table = study_charts.failures_table([outcome("a", tmp_path, [[1, 0, 0, 0], [0, 0, 0, 0]], boxes)])
    assert dict(zip(table.head[1:], table.lines[0][1:])) == {
        "right": "12.5", "part": "25.0", "too small": "0.0", "too large": "25.0", "inexact": "12.5",
        "wrong place": "25.0",
    }


def test_curves_are_means_over_seeds(tmp_path):
    table = study_charts.thresholds_table([outcome("a", tmp_path, [[1, 1], [1, 0]])])
    assert table.numbers == [{"threshold": 0.5, "a": 75}, {"threshold": 0.9, "a": 0}]


def has_colour(image, colour):
    return np.abs(image.astype(int) - colour).sum(axis=2) < 30


def test_bars_are_as_long_as_their_values(tmp_path):
    boxes = [(1, 1), (1, 1), (1, 1), (0.1, 0.1)]
    image = study_charts.failure_bars([outcome("b", tmp_path, [[1, 1, 1, 0]], boxes)], "t")
    row = image[len(image) // 3]  # above the legend
    right, wrong = (np.flatnonzero(has_colour(row[np.newaxis], colour)[0]) for colour in (BLUE, SKY))
    assert len(right) == pytest.approx(3 * len(wrong), abs=4) and len(wrong) > 100
    assert right.max() < wrong.min()


def test_intervals_reach_as_far_as_they_say(tmp_path):
    one = outcome("a", tmp_path, [[1, 0, 0, 0]])
    lengths = []
    for interval in ([20, 40], [20, 60]):
        one.runs[0].result["rows"]["r"]["t"]["corloc_interval"] = interval
        rows = np.flatnonzero(has_colour(study_charts.score_curve([1], [one], "t", "x"), BLUE).any(axis=1))
        lengths.append(np.ptp(rows[rows < ABOVE_LEGEND]))
    # The axis goes from 0 to a twentieth of the interval above its end.
    assert lengths[1] / lengths[0] == pytest.approx((40 / 62) / (20 / 41), abs=0.02)


def test_everything_is_drawn_where_there_is_truth_and_nothing_where_there_is_none(tmp_path):
    shown = [outcome("a", tmp_path, [[1, 1, 0, 0]]), outcome("b", tmp_path, [[1, 0, 0, 0]])]
    images = [
        study_charts.score_bars(shown, "t"), study_charts.score_curve([1, 2], shown, "t", "x"),
        study_charts.threshold_curves(shown, "t"), study_charts.failure_bars(shown, "t"),
    ]
    assert all(image.dtype == np.uint8 and image.shape[2] == 3 and image.min() < 100 for image in images)
    summary = {"clserr_top1": 10.0, "corloc": None, "corloc_by_threshold": None}
    result = {**shown[0].runs[0].result, "rows": {"r": {"t": summary}}}
    nothing = [Outcome("c", (shown[0].runs[0]._replace(result=result),))]
    assert study_charts.threshold_curves(nothing, "t") is None and study_charts.thresholds_table(nothing) is None
    assert study_charts.score(nothing) == "clserr_top1"


@pytest.mark.parametrize(("key", "words"), [("corloc_spread", "CorLoc spread"), ("clserr_top1", "ClsErr top1")])
def test_words(key, words):
    assert study_charts.words(key) == words
