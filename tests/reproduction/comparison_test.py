from ornet_tf.reproduction import comparison
from ornet_tf.reproduction.contents import Table
from tests.reproduction.evaluated_folders import outcome


def test_details_have_tables_and_charts_of_everything_that_is_known(tmp_path):
    shown = [outcome("a", tmp_path, [[1, 1, 0, 0]]), outcome("b", tmp_path, [[1, 0, 0, 0]])]
    items = comparison.details(shown, shown[0])
    tables = {item.name: item for item in items if isinstance(item, Table)}
    assert list(tables) == ["figures", "differences", "failures", "thresholds", "histograms"]
    assert [line[0] for line in tables["figures"].lines] == ["a", "b"]
    assert tables["differences"].numbers[0]["mean"] == -25 and "“a”" in tables["differences"].title
    assert tables["histograms"].numbers[0] == {"from": 0.0, "a": 75, "b": 75}
    assert [item.name for item in items if not isinstance(item, Table)] == ["failures", "thresholds", "histograms"]


def test_nothing_is_shown_of_what_needs_truth_that_is_not_there(tmp_path):
    one = outcome("c", tmp_path, [[1]])
    one.runs[0].result["rows"]["r"]["t"] = {"clserr_top1": None, "corloc": None, "corloc_by_threshold": None}
    assert comparison.thresholds([one], "t") == comparison.bars([one], "t") == []


def test_curves_and_bars_have_the_given_titles_and_notes(tmp_path):
    shown = [outcome("a", tmp_path, [[1, 0]])]
    picture, table = comparison.thresholds(shown, "Curves", "A note.")
    assert (picture.title, picture.notes, table.numbers[0]["a"]) == ("Curves", ("A note.",), 50)
    assert comparison.bars(shown, "Bars")[0].title == "Bars"
