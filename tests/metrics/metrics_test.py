"""The contract of all metrics."""
import functools
import json

import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import registry
from ornet_tf.metrics import Bootstrap, Settings, describe_count, format_figure

METRICS = registry.choices("metrics")
SIZE, COUNT = 24, 30
SETTINGS = Settings(image_size=SIZE, threshold=0.5, iou_threshold=0.5, components="native", bootstrap=Bootstrap(200))


@functools.cache
def data():
    """Returns maps with one hill each, and a ground truth near it; the last image has no ground truth."""
    rng = np.random.default_rng(11)
    place, y = rng.uniform(0.3, 0.7, (COUNT, 2, 1, 1)), (np.arange(12) + 0.5) / 12
    squares = (y[:, np.newaxis] - place[:, 0]) ** 2 + (y - place[:, 1]) ** 2
    maps = np.exp(-squares / rng.uniform(0.02, 0.1, (COUNT, 1, 1)))[..., np.newaxis].astype(np.float32)
    centre = place[:, :, 0, 0] + rng.normal(0, 0.04, (COUNT, 2))
    half = rng.uniform(0.1, 0.35, (COUNT, 1))
    whole = np.concatenate([centre - half, centre + half], axis=1)[:, np.newaxis].astype(np.float32)
    whole[-1] = 0
    pixel = (np.arange(SIZE) + 0.5) / SIZE
    inside = [(pixel >= whole[:, 0, i, np.newaxis]) & (pixel < whole[:, 0, i + 2, np.newaxis]) for i in (0, 1)]
    truth = {
        "boxes": np.clip(whole, 0, 1),
        "whole_boxes": whole,
        "mask": (inside[0][:, :, np.newaxis] & inside[1][:, np.newaxis]).astype(np.uint8),
        "label": rng.integers(0, 7, COUNT).astype(np.int32),
        "logits": rng.random((COUNT, 7)).astype(np.float32),
    }
    return maps, truth


@functools.cache
def measure_function(name, settings):
    """Returns `measure` of a metric, traced once for all batch sizes."""
    maps, truth = data()
    spec = [{key: tf.TensorSpec([None, *value.shape[1:]], value.dtype) for key, value in part.items()}
            for part in ({"maps": maps}, {key: truth[key] for key in ("boxes", "whole_boxes", "mask")})]
    measure = registry.find("metrics", name)(settings).measure
    return tf.function(measure, input_signature=[spec[0]["maps"], spec[1], spec[0]["maps"]])


@functools.cache
def measured(name, *parts, settings=SETTINGS):
    """Returns a metric after one batch for each part (start, end) of the images."""
    metric = registry.find("metrics", name)(settings)
    measure = measure_function(name, settings)
    maps, truth = data()
    for part in [slice(*part) for part in parts or [(0, COUNT)]]:
        batch = {key: value[part] for key, value in truth.items()}
        in_graph = {key: tf.constant(value) for key, value in batch.items() if key not in ("label", "logits")}
        found = measure(tf.constant(maps[part]), in_graph, tf.constant(maps[part]))
        assert all(value.shape[0] == len(batch["label"]) for value in found.values())
        metric.update({key: value.numpy() for key, value in found.items()}, batch)
    return metric


@pytest.mark.parametrize("name", METRICS)
def test_figures_do_not_depend_on_batches_and_are_json(name):
    together = measured(name)
    summary = together.summary()
    assert list(summary) == list(together.titles)
    assert all(figures["images"] == COUNT for figures in summary.values())
    parts = [(0, 1), (1, 1), (1, 20), (20, COUNT)]
    assert measured(name, *parts).summary() == summary
    assert json.loads(json.dumps(summary)) == summary


@pytest.mark.parametrize("name", METRICS)
def test_columns_have_a_value_per_image_which_is_nan_without_ground_truth(name):
    metric = measured(name)
    assert list(metric.per_image()) == list(metric.titles)
    for columns in metric.per_image().values():
        assert all(values.shape == (COUNT,) for values in columns.values())
        quality = next(iter(columns.values()))
        assert np.isnan(quality[-1])
        assert np.nanmin(quality) >= 0 and 0.5 < np.nanmax(quality) <= 1
        if "right" in columns:
            assert set(columns["right"][:-1]) == {0.0, 1.0} and np.isnan(columns["right"][-1])


@pytest.mark.parametrize("name", METRICS)
def test_intervals_contain_their_figures_and_need_samples(name):
    def intervals(summary):
        return {(k, f[: -len("_interval")]) for k, s in summary.items() for f in s if f.endswith("_interval")}

    summary = measured(name).summary(chosen_on=measured(name, (0, 15)).summary())
    assert intervals(summary)
    for title, figure in intervals(summary):
        low, high = summary[title][f"{figure}_interval"]
        assert low <= summary[title][figure] <= high
    assert any(low < high for low, high in (summary[k][f"{f}_interval"] for k, f in intervals(summary)))
    without = measured(name, settings=SETTINGS._replace(bootstrap=Bootstrap(0)))
    assert not intervals(without.summary(chosen_on=without.summary()))
    for title, figures in without.summary().items():
        assert all(summary[title][figure] == value for figure, value in figures.items())


@pytest.mark.parametrize("name", METRICS)
def test_all_lines_of_a_table_have_the_same_columns(name):
    metric = measured(name)
    first_half, everything = measured(name, (0, 15)).summary(), metric.summary()
    for title in metric.titles:
        plain = metric.cells(everything[title], "")
        chosen = metric.cells(metric.summary(first_half)[title], "validation")
        nothing = metric.cells(measured(name, (COUNT - 1, COUNT)).summary(first_half)[title], "validation")
        assert set(plain) <= set(chosen)
        assert list(chosen) == list(nothing)
        assert all(isinstance(cell, str) and cell for cell in (*plain.values(), *nothing.values()))
        assert "validation" not in " ".join(plain)


@pytest.mark.parametrize("name", METRICS)
def test_a_threshold_chosen_elsewhere_is_not_better_than_the_best_here(name):
    elsewhere = measured(name, (0, 10)).summary()
    for figures in measured(name, (10, COUNT)).summary(chosen_on=elsewhere).values():
        if "corloc" in figures:
            index = figures["thresholds"].index(figures["threshold_chosen"])
            assert figures["corloc_at_chosen_threshold"] == figures["corloc_by_threshold"][index]
            assert figures["corloc_at_chosen_threshold"] <= figures["corloc_best_on_evaluated_data"]
        if "maxboxacc" in figures:
            places = {k: figures["thresholds"].index(t) for k, t in figures["thresholds_chosen"].items()}
            there = np.mean([figures["accuracy_by_threshold"][k][place] for k, place in places.items()])
            assert figures["maxboxacc_at_chosen_thresholds"] == pytest.approx(there)
            assert there <= figures["maxboxacc"]


@pytest.mark.parametrize("name", METRICS)
def test_nothing_is_made_up_before_the_first_image(name):
    metric = registry.find("metrics", name)(SETTINGS)
    with pytest.raises(RuntimeError, match="No image has been measured yet"):
        metric.summary()
    with pytest.raises(RuntimeError, match="No image has been measured yet"):
        metric.per_image()


@pytest.mark.parametrize("name", ["wsol_v1", "wsol_v2", "pxap"])
@pytest.mark.parametrize("interval", [0, 0.0001, 1, -0.1])
def test_an_interval_out_of_range_is_refused(name, interval):
    with pytest.raises(ValueError, match="interval.* 0.0005 .* got"):
        registry.find("metrics", name)(SETTINGS, interval=interval)


@pytest.mark.parametrize("name", [name for name in METRICS if not registry.find("metrics", name).needs_masks])
def test_an_image_whose_boxes_lie_outside_of_the_view_counts_as_missed(name):
    """Boxes: left of the view; on both sides of it; outside and inside; none."""
    left, right, inside, none = [0, -0.5, 1, 0], [0, 1, 1, 1.5], [0, 0, 1, 0.05], [0, 0, 0, 0]
    boxes = np.float32([[left, none], [left, right], [left, inside], [none, none]])
    maps = np.zeros([4, 12, 12, 1], np.float32)
    maps[:, :, 0] = 1.0  # a column that touches the box on the left
    metric = registry.find("metrics", name)(SETTINGS)
    truth = {"boxes": boxes, "whole_boxes": boxes, "label": np.zeros(4, np.int32), "logits": np.ones([4, 2])}
    in_graph = {key: tf.constant(truth[key]) for key in ("boxes", "whole_boxes")}
    found = metric.measure(tf.constant(maps), in_graph, tf.constant(maps))
    metric.update({key: value.numpy() for key, value in found.items()}, truth)
    for title, figures in metric.summary().items():
        counts = {key: value for key, value in figures.items() if key.startswith("images")}
        assert counts == {"images": 4, "images_with_boxes": 3, "images_out_of_view": 2}
        description = describe_count(figures, "test")
        assert description.startswith("4 test images (3 with a box") and "; 2 with no box in the" in description
        iou = metric.per_image()[title]["iou"]
        assert iou[:2].tolist() == [0, 0] and iou[2] >= 0 and np.isnan(iou[3])


def test_images_with_an_empty_mask_are_counted_as_background():
    figures = measured("pxap").summary()["pxap"]
    assert (figures["images"], figures["images_with_object"]) == (COUNT, COUNT - 1)
    assert describe_count(figures, "test").startswith("30 test images (29 with an object")


def test_counts_are_described_only_if_ground_truth_is_missing():
    assert describe_count({"images": 4, "images_with_boxes": 4, "images_out_of_view": 0}, "test") == "4 test images"
    assert describe_count({"images": 4, "images_with_boxes": 0}, "test").startswith("4 test images (none with a box: ")


def test_figures_are_formatted_with_one_digit():
    assert format_figure(None) == "-"
    assert format_figure(12.345) == "12.3"
    assert format_figure(12.345, [10, 20.06]) == "12.3 [10.0, 20.1]"
