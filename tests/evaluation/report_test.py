import csv
import re

import numpy as np
import pyarrow.parquet
import pytest

from ornet_tf import registry
from ornet_tf.data.source import Source
from ornet_tf.evaluation import report
from ornet_tf.metrics import Bootstrap, Settings

IOUS = {"good": [1.0, 0.25, np.nan, 0.5], "poor": [0.1, 0.0, np.nan, 0.1]}
SOURCE = Source(["ant", "bee"], [b""] * 4, [f"p/{i}" for i in range(4)], np.array([0, 1, 0, 1]))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Returns the folder and the result of two rows whose boxes have the IoUs in IOUS at all thresholds."""
    folder = tmp_path_factory.mktemp("evaluation")
    measured = {row: {"corloc": registry.find("metrics", "corloc")(Settings(bootstrap=Bootstrap(50)))}
                for row in IOUS}
    for row, ious in IOUS.items():
        boxes = np.float32([[[0, 0, 1 if np.isnan(v) else v, 1]] * 19 for v in ious])
        truth = np.float32([[[0, 0, 0 if np.isnan(v) else 1, 1]] for v in ious])
        known = {"boxes": truth, "logits": np.eye(2)[[0, 0, 0, 1]], "label": SOURCE.labels}
        scores = np.float32([[0.9, 0.9], [0.2, 0.2], [0.5, 0.5], [0.7, 0.7]])
        measured[row]["corloc"].update({"tight": boxes, "largest": boxes, "box_scores": scores}, known)
    result = {
        "split": "test", "threshold_split": "", "images": 4, "box_rule": "largest", "bootstrap_samples": 50,
        "metrics": {"corloc": ["tight", "largest"]},
        "rows": {row: by_metric["corloc"].summary() for row, by_metric in measured.items()},
    }
    report.write(str(folder), result, SOURCE, measured, cases=2)
    return folder, result


def test_the_csv_file_has_a_line_per_image_with_the_figures_of_each_row(written):
    with open(written[0] / "per_image.csv", encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["name"] for line in lines] == list(SOURCE.names)
    assert [line["label"] for line in lines] == ["0", "1", "0", "1"]
    assert [line["rank"] for line in lines] == ["0", "1", "0", "0"]
    for row, ious in IOUS.items():
        for key in (f"iou_{row}", f"iou_{row}_tight"):  # the columns of the configured rule have no title
            np.testing.assert_allclose([float(line[key]) for line in lines], ious, atol=1e-4)
    assert [line["right_good"] for line in lines] == ["1.0000", "0.0000", "nan", "1.0000"]
    assert [line["ymax_good"] for line in lines] == ["1.0000", "0.2500", "1.0000", "0.5000"]


def test_the_parquet_file_has_the_same_columns_with_dtypes_and_full_precision(written):
    table = pyarrow.parquet.read_table(written[0] / "per_image.parquet")
    with open(written[0] / "per_image.csv", encoding="utf-8", newline="") as file:
        assert table.column_names == next(csv.reader(file))
    assert [str(table.schema.field(key).type) for key in ("name", "label", "iou_good")] == ["string", "int64", "double"]
    assert table["name"].to_pylist() == list(SOURCE.names)
    for row, ious in IOUS.items():  # boxes are float32; the CSV file has four digits
        np.testing.assert_allclose(table[f"iou_{row}"].to_numpy(), ious, atol=1e-7)


def test_worst_and_best_cases_are_listed_and_equal_ones_keep_their_order(written):
    text = (written[0] / "cases.md").read_text(encoding="utf-8")
    lists = re.findall(r"## (\w+): (\w+) of 3 images \(largest\)\n\n.*\n.*\n((?:\|.*\n?)*)", text)
    found = {(row, kind): re.findall(r"\| (p/\d) \| ([\d.]+) \| (\w+) \|", lines) for row, kind, lines in lists}
    assert found == {
        ("good", "worst"): [("p/1", "0.250", "bee"), ("p/3", "0.500", "bee")],
        ("good", "best"): [("p/0", "1.000", "ant"), ("p/3", "0.500", "bee")],
        ("poor", "worst"): [("p/1", "0.000", "bee"), ("p/0", "0.100", "ant")],
        ("poor", "best"): [("p/0", "0.100", "ant"), ("p/3", "0.100", "bee")],
    }


def test_the_table_has_intervals_and_explains_them(written):
    folder, result = written
    text = report.table(result)
    assert (folder / "table.md").read_text(encoding="utf-8") == text
    assert "In square brackets: 95 % intervals of 50 bootstrap samples." in text
    low, high = result["rows"]["good"]["tight"]["corloc_interval"]
    assert f"| good | 66.7 [{low:.1f}, {high:.1f}] |" in text
    assert text.count("| poor | 0.0 [0.0, 0.0] |") == 2
    without = report.table({**result, "bootstrap_samples": 0})
    assert "square brackets" not in without
