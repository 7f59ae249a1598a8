import numpy as np
import pytest

from ornet_tf.reproduction import paper_tables, study_tables
from ornet_tf.reproduction.outcomes import BINS
from tests.reproduction.evaluated_folders import outcome


def test_figures_of_one_seed_have_intervals_and_of_several_deviations(tmp_path):
    one = study_tables.figures_table([outcome("a", tmp_path, [[1, 1, 0, 0]])])
    assert one.head == ["", "CorLoc"] and one.lines == [["a", "50.0 [45.0, 55.0]"]]
    assert one.numbers == [{"label": "a", "seeds": 1, "corloc": 50, "corloc_low": 45, "corloc_high": 55}]
    two = study_tables.figures_table([outcome("b", tmp_path, [[1, 1, 0, 0], [1, 0, 0, 0]])])
    assert two.lines == [["b", "37.5 ± 17.7"]] and "standard deviation" in two.title


def test_figures_from_0_to_1_are_not_shown_as_percentages(tmp_path):
    table = study_tables.figures_table([outcome("a", tmp_path, [[1, 0]], mean_iou=0.4567)])
    assert table.head[-1] == "mean IoU" and table.lines[0][-1] == "0.457" and table.notes == ("mean IoU: from 0 to 1.",)


def test_differences_are_paired(tmp_path):
    base = outcome("base", tmp_path, [[1, 0, 0, 0], [1, 1, 0, 0]])
    same, better = outcome("same", tmp_path, [[1, 0, 0, 0], [1, 1, 0, 0]]), outcome("b", tmp_path, [[1, 1, 0, 0]] * 2)
    table = study_tables.differences_table([base, same, better], base)
    assert table.lines[0] == ["same", "0.0 [0.0, 0.0]", "0.0 [0.0, 0.0]", "0.0 ± 0.0"]
    assert table.lines[1][0] == "b" and table.lines[1][1].startswith("25.0 [0.0, ")
    assert table.lines[1][3] == "12.5 ± 17.7" and table.numbers[1]["mean"] == 12.5
    assert study_tables.differences_table([base], base) is None


def test_failures_add_up_to_all_images_of_all_seeds(tmp_path):
    boxes = [(1, 1), (0.1, 1), (1, 0.2), (0.1, 0.1)]
    table = study_tables.failures_table([outcome("a", tmp_path, [[1, 0, 0, 0], [0, 0, 0, 0]], boxes)])
    assert dict(zip(table.head[1:], table.lines[0][1:])) == {
        "right": "12.5", "part": "25.0", "too small": "0.0", "too large": "25.0", "inexact": "12.5",
        "wrong place": "25.0",
    }


def test_curves_are_means_over_seeds(tmp_path):
    table = study_tables.thresholds_table([outcome("a", tmp_path, [[1, 1], [1, 0]])])
    assert table.numbers == [{"threshold": 0.5, "a": 75}, {"threshold": 0.9, "a": 0}]


def test_a_figure_of_the_paper_stands_beside_the_measured_one(tmp_path):
    quoted = paper_tables.QuotedTable("Table 9", "birds", ("locerr_top1", "corloc"), {"all": ("1.50", "-")})
    lines = {"a": outcome("a", tmp_path, [[1, 1, 0, 0]], locerr_top1=80.0), "b": outcome("b", tmp_path, [[1, 0, 0, 0]])}
    table = study_tables.beside_paper(lines, quoted, {"a": "all"})
    assert table.head == ["", "LocErr top-1", "paper", "CorLoc", "paper"]
    assert table.lines == [["a", "80.0", "1.50", "50.0 [45.0, 55.0]", "-"], ["b", "-", "-", "25.0 [20.0, 30.0]", "-"]]
    assert "Table 9" in table.notes[0] and "birds" in table.notes[0] and table.notes[1] == "a: in the paper all."
    assert table.numbers[0]["locerr_top1"] == 80 and table.numbers[0]["locerr_top1_in_paper"] == 1.5
    assert table.numbers[0]["corloc_in_paper"] is None and table.numbers[1]["locerr_top1_in_paper"] is None


def test_a_quoted_table_is_whole_and_names_its_data():
    table = study_tables.quote(paper_tables.TABLE_1)
    assert ["GC-Net-Rect-GoogLeNet", "23.2", "6.6", "41.42", "29.00", "75.3"] in table.lines and len(table.lines) == 16
    assert "CUB-200-2011, not here" in table.title
    assert table.numbers[1] == {
        "label": "Friend or Foe-GoogLeNet", "clserr_top1": None, "clserr_top5": None, "locerr_top1": None,
        "locerr_top5": None, "corloc": 56.5,
    }


def test_a_histogram_is_listed_by_the_lower_ends_of_its_bins():
    table = study_tables.histograms_table("h", {"a": np.arange(BINS)})
    assert table.is_long and table.numbers[-1] == {"from": 0.98, "a": BINS - 1} and table.lines[1] == ["0.02", "1"]


def test_without_truth_there_are_neither_curves_nor_failures(tmp_path):
    one = outcome("c", tmp_path, [[1]])
    one.runs[0].result["rows"]["r"]["t"] = {"clserr_top1": 10.0, "corloc": None, "corloc_by_threshold": None}
    assert study_tables.thresholds_table([one]) is None and study_tables.score([one]) == "clserr_top1"


@pytest.mark.parametrize(("key", "words"), [("corloc_spread", "CorLoc spread"), ("clserr_top1", "ClsErr top-1")])
def test_words(key, words):
    assert study_tables.words(key) == words
