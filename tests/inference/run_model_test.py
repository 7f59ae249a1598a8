"""Predictions for images whose classes are known: maps and boxes are those of the classes."""
import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import build
from ornet_tf.data import loading, transforms
from ornet_tf.errors import UserError
from ornet_tf.inference import batches, labelled_method, localizer, run_model
from ornet_tf.maps import boxes


@pytest.fixture(name="run")
def _run(tiny_run):
    config = tiny_run[0].copy_and_resolve_references()
    config.export.row = "cam_true_label"
    return config, tiny_run[1]


def load(config, workdir):
    """Returns a model for images whose classes are known."""
    given = labelled_method.GivenClasses()
    return run_model.RunModel(localizer.load(config, workdir, given=given), config.input.crop, given)


def test_boxes_are_those_of_the_given_classes(run):
    config, workdir = run
    source = loading.load_source(config, "test")
    files, classes = list(source.images[:4]), [0, 1, 2, 1]
    method = build.trained_method(config, "cam_true_label", workdir, 3)
    view = next(iter(loading.evaluation_batches(config, source)))["image"][:4]
    model, shape = load(config, workdir), transforms.evaluation_view(**loading.view_sizes(config))
    found = {}
    for given in (classes, classes[::-1]):
        maps = method.predict_with_labels(view, tf.constant(given))["activation_map"]
        expected = boxes.find_boxes(maps, [config.evaluation.threshold], rule=config.evaluation.box_rule)[:, 0]
        expected = np.clip(transforms.boxes_out_of_view(expected, shape), 0, 1)
        answers = list(batches.localize_each(model, files, signature="localize", batch_size=3, classes=given))
        found[tuple(given)] = np.stack([answer.boxes[0] for answer in answers])
        np.testing.assert_allclose(found[tuple(given)], expected, atol=1e-5)
    assert np.abs(np.subtract(*found.values())).max() > 0.01


def test_a_file_that_cannot_be_read_moves_no_class(run):
    config, workdir = run
    files = list(loading.load_source(config, "test").images[:2])
    model = load(config, workdir)
    whole = model.localize(files, signature="localize", classes=[2, 1])
    broken = model.localize([files[0], b"no image", files[1]], signature="localize", classes=[2, 0, 1])
    assert broken[1].status
    for one, other in zip(whole, broken[::2]):
        np.testing.assert_array_equal(one.boxes, other.boxes)


def test_a_row_that_needs_labels_is_refused_without_them(run):
    with pytest.raises(UserError, match="classes='label': the map of the true label needs labels"):
        localizer.load(*run)
