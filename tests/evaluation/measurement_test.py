import csv
import dataclasses
import io
import json
import logging
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ornet_tf import build
from ornet_tf.data import decoding, loading
from ornet_tf.datasets import toybirds
from ornet_tf.errors import NotFiniteError
from ornet_tf.evaluation import distributed_rows, measurement, report
from ornet_tf.maps import addons_components, boxes, components
from tests import forked_programs, strategies, tiny_experiment

ROWS = ["centre_box", "mean_features", "cam", "stage_one", "stage_two"]


@pytest.fixture(scope="module")
def evaluated(tiny_run):
    """The result of an evaluation, and what TensorFlow logged meanwhile."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    tf.get_logger().addHandler(handler)
    try:
        result = measurement.evaluate(*tiny_run)
        tf.get_logger().warning("the last line")
        return result, text.getvalue()
    finally:
        tf.get_logger().removeHandler(handler)


@pytest.fixture(scope="module")
def result(evaluated):
    return evaluated[0]


def test_an_evaluation_causes_no_retracing_warning(evaluated):
    assert "the last line" in evaluated[1] and "retracing" not in evaluated[1]


@pytest.mark.slow
def test_the_program_tells_where_the_results_are(tiny_run, tmp_path):
    workdir = shutil.copytree(tiny_run[1], tmp_path / "run", ignore=shutil.ignore_patterns("export"))
    command = ["ornet_tf.evaluate", "--config=tests/tiny_experiment.py", f"--workdir={workdir}"]
    ((status, text),) = forked_programs.run([[*command, "--config.evaluation.report_rows=('centre_box',)"]])
    assert status == 0 and f"All results are in {workdir}/evaluation" in text
    assert "Traceback" not in text


def test_every_row_is_evaluated_on_every_image_with_both_box_rules(result):
    assert list(result["rows"]) == ROWS
    for rules in result["rows"].values():
        assert set(rules) == {"tight", "largest"}
        assert all(summary["images"] == 18 for summary in rules.values())


@pytest.mark.slow
@pytest.mark.parametrize(("choice", "expected"), [("auto", "addons"), ("native", "native")])
def test_components_come_from_the_addons_if_they_are_installed_and_chosen(
    tiny_run, tmp_path, monkeypatch, choice, expected
):
    workdir = str(shutil.copytree(tiny_run[1], tmp_path / "run"))
    calls = []

    def largest_extents(levels, count):
        calls.append("addons")
        return components.largest_extents(levels, count)

    monkeypatch.setattr(addons_components, "addons_connected_components", lambda: lambda nodes: nodes)
    monkeypatch.setattr(addons_components, "largest_extents", largest_extents)
    config = tiny_run[0].copy_and_resolve_references()
    config.evaluation.update({"components": choice, "report_rows": ("centre_box",), "gallery_images": 0})
    config.evaluation.update({"threshold_split": "", "bootstrap_samples": 0})
    assert measurement.evaluate(config, workdir)["components"] == expected
    assert bool(calls) is (expected == "addons")


def test_a_map_that_is_not_finite_is_refused():
    class Method:
        """A method whose map is NaN for all images but the first."""

        parts = {}

        def predict(self, images):
            first = tf.range(tf.shape(images)[0])[:, tf.newaxis, tf.newaxis, tf.newaxis] < 1
            return {
                "activation_map": tf.where(first, images[..., :1] / 255, np.nan),
                "logits": tf.reduce_mean(images, [1, 2]),
            }

    config = tiny_experiment.get_config()
    config.evaluation.update({"report_rows": ("free",), "metrics": ("wsol_v1",)})  # which would replace NaN by 0
    rows = distributed_rows.DistributedRows(config, strategies.mirrored("CPU:0"), {"free": Method()})
    source = loading.load_split(config, "test")
    message = f"of free .* 7 of 8 images, such as {source.names[1]}"
    with pytest.raises(NotFiniteError, match=message):
        measurement.measure(rows, source, "test")


def test_corloc_is_that_of_a_loop_over_images(result, tiny_run):
    config, workdir = tiny_run
    source = loading.load_split(config, "test")
    method = build.trained_method(config, "stage_two", workdir, 3)
    hits = 0
    for batch in loading.evaluation_batches(config, source).as_numpy_iterator():
        maps = method.predict(batch["image"])["activation_map"].numpy()
        for activation_map, truth in zip(maps[..., 0], batch["boxes"]):
            rows, columns = np.nonzero(activation_map > 0.5)
            h, w = activation_map.shape
            box = [0, 0, 1, 1]
            if rows.size:
                box = [rows.min() / h, columns.min() / w, (rows.max() + 1) / h, (columns.max() + 1) / w]
            hits += max(float(boxes.iou(np.float32(box), np.float32(t))) for t in truth) >= 0.5
    assert result["rows"]["stage_two"]["tight"]["corloc"] == pytest.approx(100 * hits / 18)


def test_all_rows_have_the_class_error_of_the_evaluator(result, tiny_run):
    config, workdir = tiny_run
    method = build.trained_method(config, "evaluator", workdir, 3)
    source = loading.load_split(config, "test")
    wrong = 0
    for batch in loading.evaluation_batches(config, source).as_numpy_iterator():
        wrong += np.sum(method.predict(batch["image"])["logits"].numpy().argmax(axis=1) != batch["label"])
    for rules in result["rows"].values():
        assert rules["tight"]["clserr_top1"] == pytest.approx(100 * wrong / 18)
        assert rules["tight"]["clserr_top5"] == 0  # of three classes


def test_figures_at_the_threshold_chosen_on_the_other_split_are_reported(result):
    for rules in result["rows"].values():
        for summary in rules.values():
            index = summary["thresholds"].index(summary["threshold_chosen"])
            assert summary["corloc_at_chosen_threshold"] == summary["corloc_by_threshold"][index]
            assert summary["corloc_at_chosen_threshold"] <= summary["corloc_best_on_evaluated_data"]


def test_all_files_are_written(result, tiny_run):
    folder = os.path.join(tiny_run[1], "evaluation")
    with open(os.path.join(folder, "result.json"), encoding="utf-8") as file:
        assert json.load(file)["rows"] == json.loads(json.dumps(result["rows"]))
    with open(os.path.join(folder, "per_image.csv"), encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 18
    hits = np.mean([float(line["iou_stage_two"]) >= 0.5 for line in lines])
    assert 100 * hits == pytest.approx(result["rows"]["stage_two"]["tight"]["corloc"])
    with open(os.path.join(folder, "table.md"), encoding="utf-8") as file:
        assert file.read() == report.table(result)
    with Image.open(os.path.join(folder, "images.png")) as images:
        assert images.width > 300


@pytest.mark.slow
def test_all_metrics_are_reported(tiny_run, tmp_path):
    config, workdir = tiny_run[0].copy_and_resolve_references(), str(shutil.copytree(tiny_run[1], tmp_path / "run"))
    names = ("wsol_v1", "wsol_v2", "ornet", "pxap")
    rows = ("cam", "cam_true_label")
    config.evaluation.update({"metrics": names, "report_rows": rows, "gallery_images": 1, "bootstrap_samples": 100})
    result = measurement.evaluate(config, workdir)
    figures = result["rows"]["cam"]
    assert list(figures) == list(names)
    masks = np.stack([image > 0 for image in masks_of(config)])
    assert figures["pxap"]["object_share"] == pytest.approx(100 * masks.mean())
    assert figures["wsol_v1"]["maxboxacc"] <= figures["wsol_v2"]["maxboxacc_by_iou"]["50"]
    assert set(figures["wsol_v2"]["thresholds_chosen"]) == {"30", "50", "70"}
    with open(os.path.join(workdir, "evaluation", "per_image.csv"), encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    differs = {True: [], False: []}  # precision needs no threshold, so it differs only if the maps do
    for line in lines:
        of_label, of_predicted = (float(line[f"precision_{row}_pxap"]) for row in ("cam_true_label", "cam"))
        differs[line["rank"] == "0"].append(abs(of_label - of_predicted) > 2e-4)
    assert len(differs[True]) > 2 and not any(differs[True])  # the predicted class is the label
    assert len(differs[False]) > 2 and all(differs[False])


def masks_of(config):
    """Returns the masks of the test split in the evaluation view, uint8."""
    options, input_size = config.dataset.options.to_dict(), config.input
    start = (input_size.resize - input_size.crop) // 2
    places = (start + np.arange(input_size.crop)) * options["image_size"] // input_size.resize
    masks = [decoding.decode(mask).numpy()[..., 0] for mask in toybirds.load("test", **options).masks]
    return np.stack(masks)[:, places][:, :, places]


def test_a_metric_that_needs_masks_is_refused_without_them(tiny_run, monkeypatch):
    config = tiny_run[0].copy_and_resolve_references()
    config.evaluation.metrics = ("corloc", "pxap")
    load = loading.load_source
    monkeypatch.setattr(loading, "load_source", lambda *arguments: dataclasses.replace(load(*arguments), masks=None))
    with pytest.raises(ValueError, match="pxap needs masks.* test split of toybirds"):
        measurement.evaluate(config, tiny_run[1])
