import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import build
from ornet_tf.compat import tf_variable
from ornet_tf.data import loading
from ornet_tf.evaluation import distributed_rows, measurement
from ornet_tf.maps import box_scores, boxes
from ornet_tf.models import layers, winograd
from tests import strategies, tiny_experiment


def run_first_batch(config, workdir, devices=("CPU:0",)):
    """Returns the rows, their methods and their outputs for the first batch of the test images."""
    strategy = strategies.mirrored(*devices)
    with strategy.scope():
        names = dict.fromkeys(("evaluator", *config.evaluation.report_rows))
        methods = {name: build.trained_method(config, name, workdir, 3) for name in names}
    rows = distributed_rows.DistributedRows(config, strategy, methods)
    batches = loading.evaluation_batches(config, loading.load_split(config, "test"))
    _, outputs = next(rows.run_batches(batches))
    return rows, methods, outputs


@pytest.mark.slow
def test_two_devices_give_the_same_figures_as_one(tiny_run):
    config, workdir = tiny_run
    config = config.copy_and_resolve_references()
    config.evaluation.report_rows = ("stage_two",)  # the graphs of metrics take most of the time of this test
    source = loading.load_split(config, "test")
    on_devices = []
    for devices in (["CPU:0"], ["CPU:0", "CPU:1"]):
        strategy = strategies.mirrored(*devices)
        with strategy.scope():
            methods = {name: build.trained_method(config, name, workdir, 3) for name in ("evaluator", "stage_two")}
        on_devices.append(distributed_rows.DistributedRows(config, strategy, methods))
    for batch_size in (8, 17):  # last batches of 2 and 1 images: with 1 one device has none
        config.evaluation.batch_size = batch_size
        measured = [measurement.measure(distributed, source, "test") for distributed in on_devices]
        assert_same_figures(*(by_row["stage_two"]["corloc"] for by_row in measured))


def assert_same_figures(first, second):
    for title, figures in first.summary().items():
        assert figures["images"] == 18
        assert figures == second.summary()[title]
        for column, values in first.per_image()[title].items():
            np.testing.assert_allclose(values, second.per_image()[title][column], atol=1e-5)


@pytest.mark.slow
def test_a_row_is_traced_once_for_two_splits_and_all_sizes_of_a_batch():
    devices = ["CPU:0", "CPU:1"]
    traces = []

    class Method:
        """A method whose map is a channel of the image."""

        parts = {}

        def predict(self, images):
            traces.append(images.shape)
            return {"activation_map": images[..., :1] / 255, "logits": tf.reduce_mean(images, [1, 2])}

    config = tiny_experiment.get_config()
    config.evaluation.update({"report_rows": ("free",), "metrics": ("ornet",)})  # the graph of corloc is much larger
    config.evaluation.batch_size = 17  # one device has no image of the last batch of 18
    strategy, models = strategies.mirrored(*devices), {"free": Method(), "evaluator": Method()}
    rows = distributed_rows.DistributedRows(config, strategy, models)

    def figures(split, source, expected_traces):
        traces.clear()
        measured = measurement.measure(rows, source, split)["free"]["ornet"].summary()
        assert len(traces) == expected_traces * len(models) * len(devices)
        assert measured["ornet"]["images"] == len(source)
        return measured

    validation, test = (loading.load_split(config, split) for split in ("validation", "test"))
    figures("validation", validation, 1)
    of_test = figures("test", test, 0)
    twice = dataclasses.replace(test, boxes=[np.repeat(image_boxes, 2, axis=0) for image_boxes in test.boxes])
    assert figures("more boxes", twice, 1) == of_test
    assert figures("test", test, 0) == of_test
    # The functions traced for another split give the same figures as those traced for this one.
    fresh = distributed_rows.DistributedRows(config, strategy, models)
    fresh = measurement.measure(fresh, test, "test")["free"]["ornet"]
    assert fresh.summary() == of_test


def test_box_scores_are_those_of_the_score_map():
    class Method:
        """A method whose unrefined map is a channel of the image, and whose refined one has other boxes."""

        parts = {}

        def predict(self, images):
            return {
                "activation_map": tf.cast(images[:, ::2, ::2, 1:2] > 127, tf.float32),
                "score_map": images[..., :1] / 256,  # not 255: values at a threshold must not be rounded
                "logits": tf.reduce_mean(images, [1, 2]),
            }

    config = tiny_experiment.get_config()
    config.evaluation.report_rows = ("free",)
    models = {"free": Method(), "evaluator": Method()}
    rows = distributed_rows.DistributedRows(config, strategies.mirrored("CPU:0"), models)
    source = loading.load_split(config, "test")
    columns = measurement.measure(rows, source, "test")["free"]["corloc"].per_image()["largest"]
    expected = []
    for batch in loading.evaluation_batches(config, source):
        maps = models["free"].predict(batch["image"])
        found = boxes.find_boxes(maps["activation_map"], [0.5], rule="largest")
        expected.extend(box_scores.stability(maps["score_map"], found, max_components=1).numpy()[:, 0])
    np.testing.assert_allclose(columns["box_score"], expected, atol=1e-6)
    assert np.ptp(expected) > 0.1


def test_rows_with_equal_parts_read_the_weights_of_one(tiny_run):
    config, workdir = tiny_run
    config = config.copy_and_resolve_references()
    config.evaluation.metrics = ()  # their graphs read no variables

    def variables_read(*rows):
        config.evaluation.report_rows = rows
        distributed, methods, _ = run_first_batch(config, workdir)
        (trace,) = distributed._compiled._list_all_concrete_functions()
        return sum(tensor.dtype == tf.resource for tensor in trace.captured_inputs), methods

    of_one, methods = variables_read()
    assert of_one == sum(len(part.weights) for part in methods["evaluator"].parts.values())
    assert variables_read("mean_features")[0] == of_one
    assert variables_read("mean_features", "cam")[0] == of_one + 1  # CAM reads a kernel


def test_on_cpus_all_rows_use_kernels_mapped_once(tiny_run, monkeypatch):
    config, workdir = tiny_run
    config = config.copy_and_resolve_references()
    config.evaluation.update({"report_rows": ("grad_cam", "stage_two"), "own_classes": ("grad_cam", "stage_two")})
    config.evaluation.metrics = ()  # logits and maps are compared
    _, _, expected = run_first_batch(config, workdir)
    monkeypatch.setattr(winograd, "MIN_CHANNELS", 4)
    monkeypatch.setattr(winograd, "MIN_TILES", 1)
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [])
    rows, methods, actual = run_first_batch(config, workdir, ("CPU:0", "CPU:1"))
    for name in ("evaluator", "grad_cam", "stage_two"):
        np.testing.assert_allclose(actual[name]["logits"], expected[name]["logits"], atol=1e-5)
    kernels = {
        tf_variable(layer.kernel).numpy().tobytes()
        for method in methods.values() for part in method.parts.values() for layer in part.layers
        if isinstance(layer, layers.Conv3x3) and min(layer.kernel.shape[2:]) >= 4
    }
    assert len(rows._kernels.variables) == len(kernels) > 3
    assert len(rows._measure_traced._list_all_concrete_functions()) == 2  # one for each device, not for each row
    batch = next(iter(loading.evaluation_batches(config, loading.load_split(config, "test"))))
    maps = rows.predict_maps(batch)
    monkeypatch.undo()
    for name, plain in distributed_rows.DistributedRows(config, rows._strategy, methods).predict_maps(batch).items():
        np.testing.assert_allclose(maps[name], plain, atol=1e-4)
    assert len(rows._kernels.variables) == len(kernels)
