"""Scores of boxes in predictions: their values, and boxes that are dropped because of them."""
import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ornet_tf import build
from ornet_tf.data import loading
from ornet_tf.inference import localizer, prediction
from ornet_tf.maps import box_scores, boxes
from tests.data import fuzz_images
from tests.signatures import BOXES_ONLY, expect_same


@pytest.mark.parametrize("refine", [False, True])
def test_scores_are_those_of_the_score_map(tiny_run, refine):
    config = tiny_run[0].copy_and_resolve_references()
    config.phase.stage_two.options.refine = refine
    source = loading.load_split(config, "test").select(range(4))
    model = localizer.load(config, tiny_run[1])
    found = model.localize(tf.constant(list(source.images)))
    batch = next(iter(loading.evaluation_batches(config, source)))
    predicted = build.trained_method(config, "stage_two", tiny_run[1], 3).predict(batch["image"])
    in_view = boxes.find_boxes(predicted["activation_map"], [0.5])
    scored_map = predicted["score_map"] if refine else predicted["activation_map"]
    expected = box_scores.stability(scored_map, in_view, max_components=1)
    np.testing.assert_allclose(found["detection_box_scores"], expected, atol=1e-4)


def drawing(*rectangles):
    """Returns a PNG of 36 x 36 pixels with rectangles (ymin, xmin, ymax, xmax, brightness)."""
    pixels = np.zeros([36, 36, 3], np.uint8)
    for top, left, bottom, right, brightness in rectangles:
        pixels[top:bottom, left:right] = brightness
    return tf.io.encode_png(pixels).numpy()


# Components of whole cells of the map, which are 4 pixels wide and begin at pixel 2. Their scores differ.
DOUBTFUL, SURE, FAINT = (2, 2, 14, 18, 150), (18, 2, 26, 10, 250), (22, 22, 26, 30, 200)
FILES = [
    drawing(DOUBTFUL, SURE, FAINT), drawing(DOUBTFUL), b"no image", drawing(FAINT), drawing(), drawing(SURE, FAINT)
]  # fmt: skip


def colours(**options):
    return localizer.Localizer(
        fuzz_images.Brightness(), ["red", "green", "blue"],
        resize=36, crop=32, threshold=0.5, box_rule="largest", **options,
    )  # fmt: skip


def test_boxes_with_lower_scores_are_dropped_and_the_others_move_up():
    model = colours(max_boxes=3)
    everything = {k: v.numpy() for k, v in model.localize(tf.constant(FILES)).items()}
    doubtful, sure, faint = everything["detection_box_scores"][0]
    assert everything["num_detections"].tolist() == [3, 1, 0, 1, 1, 2]
    assert 0 < doubtful < faint < sure
    assert everything["detection_box_scores"][4].tolist() == [0, 0, 0]  # nothing found: the box is the whole image
    assert everything["detection_boxes"][4].any()
    for least, counts in ((1e-6, [3, 1, 0, 1, 0, 2]), (faint, [2, 0, 0, 1, 0, 2]), (1.0, [0, 0, 0, 0, 0, 0])):
        model = colours(max_boxes=3, min_box_score=float(least))
        found = model.localize(tf.constant(FILES))
        assert found["num_detections"].numpy().tolist() == counts
        for name, padding in (("boxes", 0), ("box_scores", 0), ("scores", 0), ("classes", -1), ("class_names", b"")):
            for i, count in enumerate(counts):
                is_kept = everything["detection_box_scores"][i] >= least
                rows = found[f"detection_{name}"][i].numpy()
                np.testing.assert_array_equal(rows[:count], everything[f"detection_{name}"][i][is_kept])
                assert all(np.all(row == padding) for row in rows[count:])
        for name in ("status", "activation_map"):
            np.testing.assert_array_equal(found[name], everything[name])
        expect_same(model.localize_boxes(tf.constant(FILES)), {name: found[name] for name in BOXES_ONLY})


def test_a_single_box_is_dropped_as_well():
    model = colours(min_box_score=0.01)
    found = model.localize(tf.constant(FILES))
    assert found["num_detections"].numpy().tolist() == [1, 1, 0, 1, 0, 1]
    assert found["status"][4] == b"" and not found["detection_boxes"][4].numpy().any()


def test_predictions_list_images_without_a_box(tiny_run, tmp_path):
    config = tiny_run[0].copy_and_resolve_references()
    workdir = str(shutil.copytree(tiny_run[1], tmp_path / "run", ignore=shutil.ignore_patterns("export", "evaluation")))
    config.export.min_box_score = 1.0
    (tmp_path / "a.png").write_bytes(FILES[0])
    assert prediction.predict(config, workdir, [str(tmp_path / "a.png")]) == (1, [])
    with open(os.path.join(workdir, "predictions", "predictions.json"), encoding="utf-8") as file:
        (entry,) = json.load(file)
    assert (entry.keys(), entry["box"]) == ({"file", "width", "height", "box", "overlay"}, None)
    with Image.open(entry["overlay"]) as drawn:
        assert drawn.size == (36, 36)


def test_a_refined_map_is_split_where_the_map_before_refinement_is_low(tiny_run):
    config = tiny_run[0].copy_and_resolve_references()
    config.evaluation.update({"box_rule": "largest", "threshold": 0.5})
    config.export.update({"max_boxes": 4, "split_boxes": True})
    config.phase.stage_two.options.refine = True
    model = localizer.load(config, tiny_run[1])
    views = tf.random.stateless_uniform([16, 32, 32, 3], [0, 3], 0.0, 255.0)
    predicted = model._method.predict(views)
    maps, before = predicted["activation_map"], predicted["score_map"]
    in_view, count = boxes.find_largest_boxes(maps, 0.5, max_boxes=4, split_map=before)
    assert np.any(in_view != boxes.find_largest_boxes(maps, 0.5, max_boxes=4, split_map=maps)[0])
    found = model.localize_views(views, tf.fill([16], ""))
    np.testing.assert_array_equal(found["num_detections"], count)
    expected = np.where(np.arange(4)[:, np.newaxis] < count[:, np.newaxis, np.newaxis], (in_view * 32 + 2) / 36, 0)
    np.testing.assert_allclose(found["detection_boxes"], expected, atol=1e-5)
