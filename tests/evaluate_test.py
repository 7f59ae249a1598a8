import csv
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from ornet_tf import addons_components, assemble, boxes, components, evaluate
from tests import source_tree, strategies

ROWS = ["centre_box", "mean_features", "cam", "stage_one", "stage_two"]


@pytest.fixture(scope="module")
def result(tiny_run):
    config, workdir = tiny_run
    return evaluate.evaluate(config, workdir)


def test_the_program_traces_each_row_once(tiny_run, tmp_path):
    workdir = shutil.copytree(tiny_run[1], tmp_path / "run", ignore=shutil.ignore_patterns("export"))
    command = [sys.executable, "-m", "ornet_tf.evaluate", "--config=tests/tiny_experiment.py", f"--workdir={workdir}"]
    done = subprocess.run(
        [*command, "--config.evaluation.pictures=2"], cwd=source_tree.ROOT, capture_output=True, text=True, check=True,
        timeout=600,
    )
    assert "Everything is in" in done.stderr
    assert "retracing" not in done.stderr and "Traceback" not in done.stderr


def test_every_row_is_evaluated_on_every_picture_under_both_box_rules(result):
    assert list(result["rows"]) == ROWS
    for rules in result["rows"].values():
        assert set(rules) == {"tight", "largest"}
        assert all(summary["images"] == 18 for summary in rules.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("choice", "there", "expected"), [("auto", True, "addons"), ("auto", False, "native"), ("native", True, "native")]
)
def test_components_come_from_the_addons_where_they_are_and_are_asked_for(
    tiny_run, tmp_path, monkeypatch, choice, there, expected
):
    workdir = str(shutil.copytree(tiny_run[1], tmp_path / "run"))
    calls = []

    def largest_extents(levels, count):
        calls.append("addons")
        return components.largest_extents(levels, count)

    monkeypatch.setattr(addons_components, "addons_connected_components", lambda: (lambda _: _) if there else None)
    monkeypatch.setattr(addons_components, "largest_extents", largest_extents)
    config = tiny_run[0].copy_and_resolve_references()
    config.evaluation.update({"components": choice, "rows": ("stage_two",), "pictures": 0})
    assert evaluate.evaluate(config, workdir)["components"] == expected
    assert bool(calls) is (expected == "addons")


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [8, 17])  # the last batch holds 2 and 1: one for each device, and none for one
def test_two_devices_count_every_picture_once_like_one(tiny_run, batch_size):
    config, workdir = tiny_run
    config = config.copy_and_resolve_references()
    rows = ("cam", "stage_two")
    config.evaluation.update({"batch_size": batch_size, "rows": rows})
    source = assemble.load_split(config, "test")
    measured = []
    for devices in (["CPU:0"], ["CPU:0", "CPU:1"]):
        strategy = strategies.mirrored(*devices)
        with strategy.scope():
            methods = {name: assemble.trained_method(config, name, workdir, 3) for name in ("evaluator", *rows)}
        measured.append(evaluate.measure(config, strategy, methods, {"test": source})["test"])
    for row in rows:
        for rule, one in measured[0][row].items():
            two = measured[1][row][rule]
            assert one.summary()["images"] == two.summary()["images"] == 18
            assert one.summary() == two.summary()
            np.testing.assert_allclose(one.per_image()["iou"], two.per_image()["iou"], atol=1e-5)


def test_corloc_is_what_a_loop_over_pictures_counts(result, tiny_run):
    config, workdir = tiny_run
    source = assemble.load_split(config, "test")
    method = assemble.trained_method(config, "stage_two", workdir, 3)
    hits = 0
    for batch in assemble.evaluation_batches(config, source).as_numpy_iterator():
        maps = method.predict(batch["image"])["activation_map"].numpy()
        for activation_map, truth in zip(maps[..., 0], batch["boxes"]):
            rows, columns = np.nonzero(activation_map > 0.5)
            h, w = activation_map.shape
            box = [0, 0, 1, 1]
            if rows.size:
                box = [rows.min() / h, columns.min() / w, (rows.max() + 1) / h, (columns.max() + 1) / w]
            hits += max(float(boxes.iou(np.float32(box), np.float32(t))) for t in truth) >= 0.5
    assert result["rows"]["stage_two"]["tight"]["corloc"] == pytest.approx(100 * hits / 18)


def test_the_class_of_every_row_is_the_evaluators(result, tiny_run):
    config, workdir = tiny_run
    method = assemble.trained_method(config, "evaluator", workdir, 3)
    source = assemble.load_split(config, "test")
    wrong = 0
    for batch in assemble.evaluation_batches(config, source).as_numpy_iterator():
        wrong += np.sum(method.predict(batch["image"])["logits"].numpy().argmax(axis=1) != batch["label"])
    for rules in result["rows"].values():
        assert rules["tight"]["clserr_top1"] == pytest.approx(100 * wrong / 18)
        assert rules["tight"]["clserr_top5"] == 0  # of three classes


def test_the_threshold_chosen_on_the_other_split_is_reported_beside_the_best(result):
    for rules in result["rows"].values():
        for summary in rules.values():
            index = summary["thresholds"].index(summary["threshold_chosen"])
            assert summary["corloc_at_chosen_threshold"] == summary["corloc_by_threshold"][index]
            assert summary["corloc_at_chosen_threshold"] <= summary["corloc_best_on_evaluated_data"]


def test_files_are_written(result, tiny_run):
    folder = os.path.join(tiny_run[1], "evaluation")
    with open(os.path.join(folder, "result.json"), encoding="utf-8") as file:
        assert json.load(file)["rows"] == json.loads(json.dumps(result["rows"]))
    with open(os.path.join(folder, "per_image.csv"), encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 18
    hits = np.mean([float(line["iou_stage_two"]) >= 0.5 for line in lines])
    assert 100 * hits == pytest.approx(result["rows"]["stage_two"]["tight"]["corloc"])
    with Image.open(os.path.join(folder, "pictures.png")) as pictures:
        assert pictures.width > 300


def test_the_table_has_a_line_per_row_and_says_how_thresholds_were_chosen(result):
    text = evaluate.table(result)
    assert "best (threshold chosen on these pictures)" in text
    assert "at the threshold chosen on validation" in text
    for row in ROWS:
        assert text.count(f"| {row} |") == 2
