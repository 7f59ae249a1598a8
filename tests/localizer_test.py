import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ornet_tf import assemble, boxes, localizer


@pytest.fixture(scope="module")
def model(tiny_run):
    return localizer.load(*tiny_run)


def test_boxes_and_classes_are_those_of_evaluation(model, tiny_run):
    config, workdir = tiny_run
    source = assemble.load_split(config, "test")
    outputs = model.localize(tf.constant(list(source.images)))
    method = assemble.trained_method(config, "stage_two", workdir, 3)
    start = 0
    for batch in assemble.evaluation_batches(config, source):
        expected = method.predict(batch["image"])
        count = len(batch["label"])
        in_view = boxes.from_maps(expected["activation_map"], tf.constant([0.5]), rule="tight").numpy()
        # The view is the middle 32 of 36 pixels.
        in_original = (in_view * 32 + 2) / 36
        np.testing.assert_allclose(outputs["detection_boxes"][start : start + count], in_original, atol=1e-5)
        np.testing.assert_array_equal(
            outputs["detection_classes"][start : start + count, 0], tf.argmax(expected["logits"], axis=-1)
        )
        start += count
    assert start == 18


def test_names_and_scores_belong_to_the_classes(model, tiny_run):
    config, _ = tiny_run
    source = assemble.load_split(config, "test")
    outputs = {k: v.numpy() for k, v in model.localize(tf.constant(source.images[:4])).items()}
    for label, name in zip(outputs["detection_classes"][:, 0], outputs["detection_class_names"][:, 0]):
        assert name.decode() == source.class_names[label]
    assert np.all((outputs["detection_scores"] > 1 / 3 - 1e-6) & (outputs["detection_scores"] <= 1))
    assert outputs["activation_map"].shape == (4, 8, 8)


def test_pictures_of_different_sizes_and_kinds_share_a_batch(model):
    encoded = []
    for size, kind in (((50, 30), "PNG"), ((30, 90), "JPEG")):
        buffer = io.BytesIO()
        Image.new("RGB", size, (200, 30, 40)).save(buffer, kind)
        encoded.append(buffer.getvalue())
    boxes_found = model.localize(tf.constant(encoded))["detection_boxes"].numpy()
    assert boxes_found.shape == (2, 1, 4)
    assert np.all((boxes_found >= 0) & (boxes_found <= 1))


def test_a_row_without_a_map_is_refused(tiny_run):
    config, workdir = tiny_run
    config = config.copy_and_resolve_references()
    config.export.row = "evaluator"
    with pytest.raises(ValueError, match="'evaluator' lacks activation_map"):
        localizer.load(config, workdir)


def test_an_untrained_workdir_is_named(tiny_run, tmp_path):
    with pytest.raises(FileNotFoundError, match="data.json is missing: expected the --workdir of an ornet_tf.train"):
        localizer.load(tiny_run[0], str(tmp_path))
