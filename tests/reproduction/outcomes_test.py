import csv
import os

import numpy as np
import pytest

from ornet_tf import build
from ornet_tf.data import loading
from ornet_tf.evaluation import measurement
from ornet_tf.reproduction import outcomes
from ornet_tf.reproduction.outcomes import Outcome, Run
from ornet_tf.runs import run_folder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", name="run")
def _run(tiny_run, tmp_path_factory):
    """Stage two of the tiny run, evaluated in a workdir of its own."""
    workdir = str(tmp_path_factory.mktemp("outcomes"))
    for name in os.listdir(tiny_run[1]):
        if name != "evaluation":
            os.symlink(os.path.join(tiny_run[1], name), os.path.join(workdir, name))
    config = tiny_run[0].copy_and_resolve_references()
    config.evaluation.update({"report_rows": ("cam", "stage_two"), "bootstrap_samples": 50, "gallery_images": 0})
    return Run(config, workdir, "stage_two", measurement.evaluate(config, workdir))


def test_per_image_results_are_those_of_the_row(run):
    columns = run.per_image()
    with open(os.path.join(run.workdir, "evaluation", "per_image.csv"), encoding="utf-8") as file:
        expected = [float(line["iou_stage_two"]) for line in csv.DictReader(file)]
    np.testing.assert_array_equal(columns["iou"], expected)
    assert 100 * columns["right"].mean() == pytest.approx(run.figures()["corloc"][0])
    shares = Outcome("a", (run,)).failures()
    assert shares["right"] == pytest.approx(run.figures()["corloc"][0]) and sum(shares.values()) == pytest.approx(100)


def test_figures_have_intervals_and_leave_out_thresholds(run):
    figures = run.figures()
    assert {"corloc", "locerr_top1", "clserr_top1", "corloc_best_on_evaluated_data"} <= set(figures)
    assert not [key for key in figures if "threshold" in key and not key.startswith("corloc")]
    assert figures["corloc"][1] == run.summary()["corloc_interval"] and figures["corloc_spread"][1] is None


def test_the_range_of_one_seed_is_its_interval_and_of_several_the_standard_deviation(run):
    other = {**run.result, "rows": {"stage_two": {"tight": {"corloc": 40.0}}}}
    single, several = Outcome("a", (run,)), Outcome("a", (run, run._replace(result=other)))
    corloc = run.figures()["corloc"][0]
    assert single.mean("corloc") == corloc and list(single.range("corloc")) == run.summary()["corloc_interval"]
    assert several.mean("corloc") == pytest.approx((corloc + 40) / 2) and several.mean("locerr_top1") is None
    low, high = several.range("corloc")
    assert (high - low) / 2 == pytest.approx(np.std([corloc, 40], ddof=1))


def test_a_histogram_counts_every_pixel_and_is_cached_until_the_phase_is_trained_again(run):
    histogram = Outcome("a", (run,)).histogram()
    method = build.trained_method(run.config, "stage_two", run.workdir, 3)
    batches = loading.evaluation_batches(run.config, loading.load_split(run.config, "test"))
    values = np.concatenate([method.predict(batch["image"])["activation_map"].numpy().ravel() for batch in batches])
    expected = np.histogram(values, outcomes.BINS, (0, 1))[0]
    np.testing.assert_allclose(histogram, 100 * expected / values.size, atol=0.2)  # edges are rounded in float32
    path = os.path.join(run.workdir, "evaluation", "histogram_stage_two.json")
    cached = run_folder.read_json(path)
    assert sum(cached["counts"]) == values.size
    run_folder.write_json(path, {**cached, "counts": [7] * outcomes.BINS})
    np.testing.assert_allclose(Outcome("a", (run,)).histogram(), 100 / outcomes.BINS)
    refined = run.config.copy_and_resolve_references()
    refined.phase.stage_two.options.refine = True
    retrained = run._replace(config=refined, result={**run.result, "trained": {"stage_two": "other"}})
    np.testing.assert_allclose(Outcome("a", (retrained,)).histogram(), histogram)  # that of the map before refinement
