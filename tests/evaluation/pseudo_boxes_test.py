"""Thresholds that an evaluation chooses on pseudo boxes of the object prior."""
import json
import os

import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import build
from ornet_tf.config_check import validate
from ornet_tf.data import loading
from ornet_tf.evaluation import distributed_rows, measurement, report
from ornet_tf.inference import provenance, threshold
from ornet_tf.training.phases import train
from tests import strategies, tiny_prior, tiny_prior_run
from tests.evaluation import tiny_folder


@pytest.fixture(scope="module", name="prior_run")
def _prior_run(tiny_run, tmp_path_factory):
    """Returns an experiment that chooses thresholds on pseudo boxes, and the folder of its run."""
    workdir = str(tmp_path_factory.mktemp("pseudo_boxes") / "run")
    config = tiny_prior_run.write(tiny_run[1], workdir)
    config.evaluation.update({"threshold_boxes": "object_prior", "report_rows": ("cam", "stage_two"), "cases": 0})
    config.evaluation.update({"bootstrap_samples": 0, "gallery_images": 0})
    return config, workdir


def expected_boxes(config, workdir, split):
    """Returns the boxes of the pseudo masks of the true classes, [N, 4], image by image."""
    method, found = build.trained_method(config, "object_prior", workdir, 3), []
    for batch in loading.evaluation_batches(config, loading.load_split(config, split)):
        for mask in method.pseudo_masks(batch["image"], batch["label"]).numpy()[..., 0]:
            (rows, columns), (h, w) = np.nonzero(mask), mask.shape
            found.append([rows.min() / h, columns.min() / w, (rows.max() + 1) / h, (columns.max() + 1) / w])
    return np.array(found)


@pytest.mark.parametrize("devices", [("CPU:0",), ("CPU:0", "CPU:1")])
def test_pseudo_boxes_are_those_of_the_largest_regions(prior_run, devices):
    config, workdir = prior_run[0].copy_and_resolve_references(), prior_run[1]
    config.evaluation.update({"report_rows": (), "batch_size": 11})  # one device has no image of the last batch
    strategy = strategies.mirrored(*devices)
    with strategy.scope():
        models = {name: build.trained_method(config, name, workdir, 3) for name in ("evaluator", "object_prior")}
    rows = distributed_rows.DistributedRows(config, strategy, models)
    source = loading.load_split(config, "validation")
    found = [outputs["object_prior"]["pseudo_boxes"]
             for _, outputs in rows.run_batches(loading.evaluation_batches(config, source))]
    expected = expected_boxes(config, workdir, "validation")
    np.testing.assert_allclose(np.concatenate(found)[:, 0], expected, atol=1e-6)
    assert len(np.unique(expected, axis=0)) > 3


def test_an_empty_mask_has_no_pseudo_box():
    masks = np.zeros([2, 4, 4, 1], np.float32)
    masks[1, 1:3, 2] = 1.0
    found = distributed_rows._pseudo_boxes(tf.constant(masks))
    np.testing.assert_array_equal(found, [[[0, 0, 0, 0]], [[0.25, 0.5, 0.75, 0.75]]])


@pytest.mark.slow
def test_the_prior_shares_the_pass_of_the_other_rows(prior_run):
    config, workdir = prior_run[0].copy_and_resolve_references(), prior_run[1]
    config.evaluation.report_rows = ("cam",)

    def variables_read(threshold_boxes):
        config.evaluation.threshold_boxes = threshold_boxes
        names = [name for name in ("evaluator", "cam", threshold_boxes) if name != "ground_truth"]
        models = {name: build.trained_method(config, name, workdir, 3) for name in names}
        rows = distributed_rows.DistributedRows(config, strategies.mirrored("CPU:0"), models)
        batches = loading.evaluation_batches(config, loading.load_split(config, "validation"))
        next(rows.run_batches(batches))
        (trace,) = rows._compiled._list_all_concrete_functions()
        return sum(tensor.dtype == tf.resource for tensor in trace.captured_inputs)

    sums = len(build.build_method(config, config.evaluation.row.object_prior, 3).parts["direction"].weights)
    assert variables_read("object_prior") == variables_read("ground_truth") + sums


@pytest.mark.slow
def test_both_choices_are_reported_side_by_side(prior_run):
    config, workdir = prior_run
    result = measurement.evaluate(config, workdir)
    assert result["threshold_boxes"] == "object_prior"
    assert result["chosen_on"]["tight"] == {
        "images": 12, "images_with_boxes": 12, "images_out_of_view": 0, "images_with_pseudo_boxes": 12
    }
    text, alone = report.table(result), config.copy_and_resolve_references()
    alone.evaluation.threshold_boxes = "ground_truth"
    on_truth = measurement.evaluate(alone, workdir)
    for row, by_rule in result["rows"].items():
        for rule, figures in by_rule.items():
            index = figures["thresholds"].index(figures["threshold_chosen_on_pseudo_boxes"])
            corloc = figures.pop("corloc_at_threshold_chosen_on_pseudo_boxes")
            assert corloc == figures["corloc_by_threshold"][index] and "images_with_pseudo_boxes" not in figures
            on_truth_cell = f"{figures['corloc_at_chosen_threshold']:.1f} ({figures['threshold_chosen']})"
            on_pseudo_cell = f"{corloc:.1f} ({figures.pop('threshold_chosen_on_pseudo_boxes')})"
            assert f"| {on_truth_cell} | {on_pseudo_cell} |" in text
            assert figures == on_truth["rows"][row][rule]


@pytest.mark.slow
def test_images_without_any_box_give_a_threshold_for_export(tmp_path):
    config, folder = tiny_prior.get_config(), tiny_folder.write(tmp_path / "images")
    os.remove(tmp_path / "images" / "boxes.csv")
    config.dataset = folder.dataset
    config.phase_order, config.training.summary_images = ("evaluator", "stage_one"), 0
    config.evaluation.update({"report_rows": ("cam", "stage_one"), "threshold_split": "train", "gallery_images": 1})
    config.evaluation.threshold_boxes = "object_prior"
    config.export.update({"row": "stage_one", "threshold": "chosen"})
    validate(config)
    workdir = str(tmp_path / "run")
    train(config, workdir)
    measurement.evaluate(config, workdir)
    with open(os.path.join(workdir, "evaluation", "result.json"), encoding="utf-8") as file:
        figures = json.load(file)["rows"]["stage_one"]["tight"]
    assert (figures["corloc"], figures["threshold_chosen"]) == (None, None)
    chosen = figures["threshold_chosen_on_pseudo_boxes"]
    assert threshold.decide_threshold(config, workdir) == chosen and 0 < chosen < 1
    assert "pseudo boxes of the object prior for the split train" in provenance.describe_run(config, workdir)[
        "threshold_chosen"
    ]
    with open(os.path.join(workdir, "evaluation", "table.md"), encoding="utf-8") as file:
        text = file.read()
    assert "train images (none with a box: localization is not measured; 3" in text
    assert f"| - ({chosen}) |" in text
    expected = expected_choice(config, workdir)
    assert expected[chosen] == pytest.approx(max(expected.values()), abs=1e-6)


def expected_choice(config, workdir):
    """Returns threshold -> mean IoU of stage one's tight boxes with the pseudo boxes of the training images."""
    method, ious = build.trained_method(config, "stage_one", workdir, 3), []
    pseudo = iter(expected_boxes(config, workdir, "train"))
    thresholds = [i / 20 for i in range(1, 20)]
    for batch in loading.evaluation_batches(config, loading.load_split(config, "train")):
        for one in method.predict(batch["image"])["activation_map"].numpy()[..., 0]:
            ious.append([iou(tight_box(one > np.float32(t)), box) for box in [next(pseudo)] for t in thresholds])
    return dict(zip(thresholds, np.mean(ious, axis=0)))


def tight_box(is_on):
    (rows, columns), (h, w) = np.nonzero(is_on), is_on.shape
    if not rows.size:
        return [0, 0, 1, 1]
    return [rows.min() / h, columns.min() / w, (rows.max() + 1) / h, (columns.max() + 1) / w]


def iou(a, b):
    sides = [min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1)]
    shared = max(sides[0], 0) * max(sides[1], 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return shared / (sum(areas) - shared)
