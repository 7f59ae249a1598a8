"""ResNet50 in all methods, in training, evaluation and a SavedModel."""
import functools

import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import build, registry
from ornet_tf.data import loading
from ornet_tf.inference import localizer
from ornet_tf.maps import boxes
from ornet_tf.methods import Builders
from ornet_tf.models import generator, object_prior
from tests import tiny_experiment, tiny_methods
from tests.training import tiny_steps

BUILDERS = Builders(
    backbone=functools.partial(
        registry.find("backbones", "resnet50"), image_size=64, num_classes=3, weights=None, output_stride=8
    ),
    generator=functools.partial(generator.build, num_classes=3, base_width=4, depth=1),
    object_prior=functools.partial(object_prior.ObjectPrior, threshold=0.4),
)


@pytest.mark.slow
def test_a_step_of_stage_one_changes_the_weights():
    step, iterator, variables = tiny_steps.make("stage_one", backbone="resnet50")
    before = {name: np.asarray(variable).copy() for name, variable in variables.items()}
    done = step.run(iterator, 0, 1)
    assert np.isfinite(done.values).all() and not done.not_finite
    changed = {name for name, variable in variables.items() if not np.array_equal(before[name], variable)}
    kinds = ("kernel", "gamma", "beta", "moving_mean", "moving_variance")  # batch normalization takes off a bias
    assert {name for name in variables if name.endswith(kinds)} <= changed


@pytest.mark.slow
@pytest.mark.parametrize(("name", "output"), [("adl", "logits"), ("stage_two", "evaluator_logits")])
def test_logits_depend_on_all_trained_weights(name, output):
    method = registry.find("methods", name)(BUILDERS)
    images = tf.random.stateless_uniform([2, 64, 64, 3], [1, 2], 0.0, 255.0)
    batch = {"image": images, "label": tf.constant([0, 1]), "key": tiny_methods.KEYS[:2]}
    with tf.GradientTape() as tape:
        outputs = method.forward(batch, training=True)
        total = tf.reduce_sum(tf.square(outputs[output]))
    gradients = tape.gradient(total, method.trainable_variables)
    assert gradients and [name for name, gradient in gradients.items() if gradient is None] == []


@pytest.mark.parametrize("name", ["stage_one", "stage_two"])
def test_normalization_that_the_backbone_freezes_is_not_trained(name):
    backbone = functools.partial(BUILDERS.backbone, freeze_norm=True)
    lower = [path for path in registry.find("methods", name)(BUILDERS._replace(backbone=backbone)).trainable_variables
             if path.startswith("lower/")]  # fmt: skip
    assert lower and not [path for path in lower if path.endswith(("gamma", "beta"))]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["grad_cam", "object_prior_scores"])
def test_rows_without_training_have_maps(name):
    images = tf.random.stateless_uniform([2, 64, 64, 3], [1, 2], 0.0, 255.0)
    outputs = registry.find("methods", name)(BUILDERS).predict(images)
    maps = outputs["activation_map"].numpy()
    assert maps.shape == (2, 16, 16, 1)
    assert 0 <= maps.min() <= maps.max() <= 1


@pytest.mark.slow
def test_a_saved_localizer_answers_as_evaluation_does(tmp_path):
    config = tiny_experiment.get_config()
    config.backbone = {"name": "resnet50", "options": {"weights": None, "split": "conv2_block3_out"}}
    method = build.build_method(config, config.phase.stage_one, 3)
    for i, moving in enumerate(w for part in method.parts.values() for w in part.weights if "moving" in w.name):
        moving.assign(tf.random.stateless_uniform(moving.shape, [i, 5], 0.2, 0.4))  # a SavedModel has to keep them
    source = loading.load_split(config, "test").select(range(4))
    views = {**loading.view_sizes(config), "threshold": 0.5, "box_rule": "tight"}
    tiny_methods.save_localize(localizer.Localizer(method, source.class_names, **views, for_cpu=True), tmp_path)
    loaded = tf.saved_model.load(str(tmp_path))
    found = loaded.localize(tf.constant(list(source.images)))
    expected = method.predict(next(iter(loading.evaluation_batches(config, source)))["image"])
    in_view = boxes.find_boxes(expected["activation_map"], tf.constant([0.5]), rule="tight").numpy()
    np.testing.assert_allclose(found["activation_map"], expected["activation_map"][..., 0], atol=1e-4)
    np.testing.assert_array_equal(found["detection_classes"][:, 0], tf.argmax(expected["logits"], axis=-1))
    np.testing.assert_allclose(found["detection_boxes"], (in_view * 32 + 2) / 36, atol=1e-5)  # 32 of 36 pixels
