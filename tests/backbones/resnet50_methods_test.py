"""ResNet50 in all methods, in training, evaluation and an export."""
import functools

import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import build, registry
from ornet_tf.data import loading
from ornet_tf.inference import saved_model
from ornet_tf.maps import boxes
from ornet_tf.methods import Builders
from ornet_tf.models import generator, object_prior
from ornet_tf.training.phases import train
from tests import tiny_experiment
from tests.tiny_methods import KEYS
from tests.training import tiny_steps

BUILDERS = Builders(
    backbone=functools.partial(
        registry.find("backbones", "resnet50"), image_size=64, num_classes=3, weights=None, output_stride=8
    ),
    generator=functools.partial(generator.build, num_classes=3, base_width=4, depth=1),
    object_prior=functools.partial(object_prior.ObjectPrior, threshold=0.4),
)


@pytest.mark.slow
def test_a_step_of_adl_changes_the_weights():  # the run below trains the evaluator and stage one
    step, iterator, variables = tiny_steps.make("adl", backbone="resnet50")
    before = {name: np.asarray(variable).copy() for name, variable in variables.items()}
    done = step.run(iterator, 0, 1)
    assert np.isfinite(done.values).all() and not done.not_finite
    changed = {name for name, variable in variables.items() if not np.array_equal(before[name], variable)}
    kinds = ("kernel", "gamma", "beta", "moving_mean", "moving_variance")  # batch normalization takes off a bias
    assert {name for name in variables if name.endswith(kinds)} <= changed


@pytest.mark.slow
def test_stage_two_learns_through_the_evaluator():
    method = registry.find("methods", "stage_two")(BUILDERS)
    images = tf.random.stateless_uniform([2, 64, 64, 3], [1, 2], 0.0, 255.0)
    with tf.GradientTape() as tape:
        outputs = method.forward({"image": images, "label": tf.constant([0, 1]), "key": KEYS[:2]}, training=True)
        total = tf.reduce_sum(tf.square(outputs["evaluator_logits"]))
    gradients = tape.gradient(total, method.trainable_variables)
    assert gradients and [name for name, gradient in gradients.items() if gradient is None] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["grad_cam", "object_prior_scores"])
def test_rows_without_training_have_maps(name):
    images = tf.random.stateless_uniform([2, 64, 64, 3], [1, 2], 0.0, 255.0)
    outputs = registry.find("methods", name)(BUILDERS).predict(images)
    maps = outputs["activation_map"].numpy()
    assert maps.shape == (2, 16, 16, 1)
    assert 0 <= maps.min() <= maps.max() <= 1


@pytest.fixture(scope="module", name="run")
def _run(tmp_path_factory):
    config, workdir = tiny_experiment.get_config(), str(tmp_path_factory.mktemp("resnet50"))
    config.backbone = {"name": "resnet50", "options": {"weights": None, "split": "conv2_block3_out"}}
    for phase in config.phase.values():
        phase.epochs = 0.34
    config.phase_order, config.export.row = ("evaluator", "stage_one"), "stage_one"
    config.training.summary_images = 0
    train(config, workdir)
    return config, workdir


@pytest.mark.slow
def test_an_export_answers_as_evaluation_does(run):
    config, workdir = run
    source = loading.load_split(config, "test")
    loaded = tf.saved_model.load(saved_model.export(config, workdir))
    found = loaded.signatures["activation_map_float"](image_bytes=tf.constant(list(source.images[:8])))
    method = build.trained_method(config, "stage_one", workdir, 3)
    batch = next(iter(loading.evaluation_batches(config, source)))
    expected = method.predict(batch["image"])
    in_view = boxes.find_boxes(expected["activation_map"], tf.constant([0.5]), rule="tight").numpy()
    np.testing.assert_allclose(found["activation_map"], expected["activation_map"][..., 0], atol=1e-4)
    np.testing.assert_array_equal(found["detection_classes"][:, 0], tf.argmax(expected["logits"], axis=-1))
    assert len(batch["label"]) == 8
    np.testing.assert_allclose(found["detection_boxes"], (in_view * 32 + 2) / 36, atol=1e-5)  # 32 of 36 pixels
