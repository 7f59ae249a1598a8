import functools

import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import randomness, registry
from ornet_tf.compat import keras, variable_path
from ornet_tf.maps import refinement
from ornet_tf.maps.rescale import rescale
from ornet_tf.methods import Builders, predict_with_labels, predicted_classes
from tests.tiny_methods import BUILDERS, batch, images, randomize_weights


@functools.cache
def make(name):
    keras.utils.set_random_seed(0)  # Grad-CAM's map is 0 everywhere with some random weights
    method = registry.find("methods", name)(BUILDERS)
    if "direction" in method.parts:  # zeros before an object prior has learned
        randomize_weights(method.parts["direction"])
    return method


@pytest.mark.parametrize("name", registry.choices("methods"))
def test_predictions_are_maps_in_0_to_1_or_logits_and_independent_of_the_batch(name):
    method = make(name)
    outputs = method.predict(images())
    assert set(outputs) <= {"activation_map", "logits"}
    assert outputs
    if "activation_map" in outputs:
        maps = outputs["activation_map"].numpy()
        assert maps.ndim == 4 and (maps.shape[0], maps.shape[3]) == (4, 1)
        assert 0 <= maps.min() < maps.max() <= 1
    alone = method.predict(images()[1:2])
    for key, value in outputs.items():
        np.testing.assert_allclose(alone[key][0], value[1], atol=1e-5)


@pytest.mark.parametrize("name", registry.choices("methods"))
def test_the_outputs_of_forward_are_batch_major(name):
    outputs = make(name).forward(batch(), training=True)
    assert all(value.shape[0] == 4 for value in outputs.values())


@pytest.mark.parametrize("name", registry.choices("methods"))
def test_every_trainable_variable_of_a_method_gets_a_gradient(name):
    method = make(name)
    if not method.trainable_variables:
        pytest.skip("this method trains nothing")
    with tf.GradientTape() as tape:
        outputs = method.forward(batch(), training=True)
        total = tf.add_n([tf.reduce_sum(tf.square(v)) for k, v in outputs.items() if k.endswith(("logits", "map"))])
    gradients = tape.gradient(total, list(method.trainable_variables.values()))
    missing = [path for path, g in zip(method.trainable_variables, gradients) if g is None]
    assert not missing


def test_stage_one_gates_the_low_level_features():
    method = make("stage_one")
    outputs = method.forward(batch(), training=False)
    features = method.parts["lower"](images() / 64.0 - 2.0)
    expected = method.parts["upper"](features * outputs["activation_map"])["logits"]
    np.testing.assert_allclose(outputs["logits"], expected, atol=1e-5)


def test_stage_one_returns_the_background_activation():
    method = registry.find("methods", "stage_one")(BUILDERS, freeze_lower=True, background=True)
    outputs = method.forward(batch(), training=True)
    lower, upper = method.parts["lower"], method.parts["upper"]
    features = lower(images() / 64.0 - 2.0)
    gate = outputs["activation_map"]
    for name, share in (("background_activation", 1.0 - gate), ("whole_activation", 1.0)):
        mean = np.maximum(upper(features * share)["features"], 0).mean(axis=(1, 2, 3))
        np.testing.assert_allclose(outputs[name], mean, rtol=1e-4, atol=1e-6)
    assert "whole_activation" not in method.forward({"image": images()}, training=False)


@pytest.mark.parametrize("name", ["stage_one", "stage_two", "object_prior_scores"])
def test_predictions_are_refined_and_training_is_not(name):
    plain, refining = make(name), registry.find("methods", name)(BUILDERS, refine=True)
    for part, model in refining.parts.items():
        model.set_weights(plain.parts[part].get_weights())
    expected, found = plain.predict(images()), refining.predict(images())
    assert found["activation_map"].shape == (4, 8, 8, 1)
    np.testing.assert_array_equal(found["activation_map"], refinement.refine_mask(expected["activation_map"], images()))
    np.testing.assert_array_equal(found["score_map"], expected["activation_map"])
    np.testing.assert_array_equal(found["logits"], expected["logits"])
    if refining.trainable_variables:
        forward = refining.forward({"image": images()}, training=False)
        np.testing.assert_array_equal(forward["activation_map"], expected["activation_map"])


def test_of_equal_logits_the_first_class_is_predicted():
    logits = tf.constant([[0.0, 2.0, 2.0], [1.0, 1.0, 1.0], [-1.0, -3.0, 0.5]])
    np.testing.assert_array_equal(predicted_classes(logits), [1, 0, 2])


def test_stage_two_classifies_the_masked_normalized_image():
    method = registry.find("methods", "stage_two")(BUILDERS, erasing=None, upsampling="nearest")
    outputs = method.forward(batch(), training=True)
    mask = np.repeat(np.repeat(outputs["activation_map"].numpy(), 4, axis=1), 4, axis=2)
    masked = (images().numpy() / 64.0 - 2.0) * mask
    np.testing.assert_allclose(outputs["masked_image"], masked, atol=1e-5)
    evaluator = (method.parts["evaluator_lower"], method.parts["evaluator_upper"])
    np.testing.assert_allclose(outputs["evaluator_logits"], evaluator[1](evaluator[0](masked))["logits"], atol=1e-5)


@pytest.mark.parametrize("freeze_lower", [False, True])
def test_stage_two_trains_the_generator_and_unless_frozen_the_low_layers(freeze_lower):
    method = registry.find("methods", "stage_two")(BUILDERS, freeze_lower=freeze_lower)
    trained = ("generator",) if freeze_lower else ("lower", "generator")
    paths = {f"{part}/{variable_path(v)}" for part in trained for v in method.parts[part].trainable_variables}
    assert set(method.trainable_variables) == {p for p in paths if "auxiliary" not in p}
    frozen = [w for name, part in method.parts.items() if name not in trained for w in part.weights]
    before = [tf.convert_to_tensor(w).numpy() for w in frozen]
    method.forward(batch(), training=True)  # the moving statistics of frozen parts must not change either
    for old, new in zip(before, frozen):
        np.testing.assert_array_equal(old, tf.convert_to_tensor(new).numpy())


def test_maps_are_erased_only_if_the_batch_has_keys():
    method = registry.find("methods", "stage_two")(
        BUILDERS, erasing="attentive", erasing_options={"candidate_threshold": 0.0, "side": (1.0, 1.0)}
    )
    trained = method.forward(batch(), training=True)
    assert np.any(trained["erased_map"] == 0)
    assert np.all(trained["activation_map"] > 0)
    inferred = method.forward({"image": images()}, training=False)
    np.testing.assert_array_equal(inferred["erased_map"], inferred["activation_map"])


def test_the_teacher_classifies_the_image_without_the_erased_pixels():
    options = {"candidate_threshold": 0.0, "side": (1.0, 1.0)}
    method = registry.find("methods", "stage_two")(
        BUILDERS, erasing_options=options, teacher=True, upsampling="nearest"
    )
    outputs = method.forward(batch(), training=True)
    erased = outputs["erased_map"].numpy() == 0
    assert erased.any() and not erased.all()
    kept = np.repeat(np.repeat(np.float32(~erased), 4, axis=1), 4, axis=2)
    evaluator = (method.parts["evaluator_lower"], method.parts["evaluator_upper"])
    expected = evaluator[1](evaluator[0]((images() / 64.0 - 2.0) * kept))["logits"]
    np.testing.assert_allclose(outputs["teacher_logits"], expected, atol=1e-5)
    assert "teacher_logits" not in method.forward(batch(), training=False)


def test_a_wrong_erasing_option_is_refused_when_the_method_is_built():
    with pytest.raises(ValueError, match="erasing_options.sides: unknown option.*Did you mean 'side'"):
        registry.find("methods", "stage_two")(BUILDERS, erasing_options={"sides": 1})


def test_the_evaluators_masks_hide_random_shares_of_a_share_of_the_images():
    method = registry.find("methods", "evaluator")(BUILDERS, mask_probability=0.75)
    keys = randomness.key(1, tf.constant(0, tf.int64), tf.range(2000, dtype=tf.int64))
    masks = tf.function(method._random_masks)(keys, 16, 16).numpy()
    assert masks.shape == (2000, 16, 16, 1)
    shares = masks.mean(axis=(1, 2, 3))
    assert abs(np.mean(shares < 1) - 0.75) < 0.03
    kept = shares[shares < 1]
    assert np.percentile(kept, 5) < 0.25
    assert np.percentile(kept, 95) > 0.9
    centre = masks.mean(axis=0)[..., 0]
    assert centre.std() < 0.05  # all positions are equally likely


def test_cam_is_the_weighted_sum_of_the_last_features():
    method = make("cam")
    features = method.parts["upper"](method.parts["lower"](images() / 64.0 - 2.0))
    kernel = method.parts["upper"].get_layer("predictions").get_weights()[0]
    predicted = features["logits"].numpy().argmax(axis=1)
    raw = np.stack([f @ kernel[:, c] for f, c in zip(features["features"].numpy(), predicted)])[..., None]
    raw = np.maximum(tf.image.resize(raw, method.parts["lower"].output_shape[1:3]).numpy(), 0)
    low, high = raw.min(axis=(1, 2, 3), keepdims=True), raw.max(axis=(1, 2, 3), keepdims=True)
    expected = np.divide(raw - low, high - low, out=np.zeros_like(raw), where=high > low)
    np.testing.assert_allclose(method.predict(images())["activation_map"], expected, atol=1e-4)


@pytest.mark.parametrize("name", ["cam", "grad_cam"])
def test_the_map_of_the_label_differs_where_another_class_is_predicted(name):
    of_predicted, of_label = make(name), registry.find("methods", name)(BUILDERS, classes="label")
    for part, model in of_label.parts.items():
        model.set_weights(of_predicted.parts[part].get_weights())
    expected = of_predicted.predict(images())
    predicted = expected["logits"].numpy().argmax(axis=1)
    labels = np.where([True, False, True, False], predicted, (predicted + 1) % 3).astype(np.int32)
    found = predict_with_labels(of_label, images(), tf.constant(labels))
    np.testing.assert_array_equal(found["logits"], expected["logits"])
    np.testing.assert_allclose(found["activation_map"][::2], expected["activation_map"][::2], atol=1e-5)
    features = of_label.parts["upper"](of_label.parts["lower"](images() / 64.0 - 2.0))["features"].numpy()
    kernel = of_label.parts["upper"].get_layer("predictions").get_weights()[0]
    evidence = np.einsum("bhwd,db->bhw", features, kernel[:, labels])[..., np.newaxis]
    enlarged = tf.nn.relu(tf.image.resize(evidence, of_label.parts["lower"].output_shape[1:3]))
    np.testing.assert_allclose(found["activation_map"], rescale(enlarged), atol=1e-4)
    differences = np.abs(found["activation_map"] - expected["activation_map"])[1::2]
    assert differences.max(axis=(1, 2, 3)).min() > 0.1
    for method in (of_predicted, make("mean_features"), make("centre_box")):  # labels change nothing
        labelled = predict_with_labels(method, images(), tf.constant(labels))
        np.testing.assert_array_equal(labelled["activation_map"], method.predict(images())["activation_map"])
    with pytest.raises(ValueError, match="classes='label'.*config.export.row"):
        of_label.predict(images())
    with pytest.raises(ValueError, match="classes: expected one of predicted, label, got 'true'"):
        registry.find("methods", name)(BUILDERS, classes="true")


def test_mean_features_are_the_mean_of_the_channels():
    method = make("mean_features")
    features = method.parts["upper"](method.parts["lower"](images() / 64.0 - 2.0))["features"]
    mean = tf.image.resize(tf.reduce_mean(features, axis=3, keepdims=True), method.parts["lower"].output_shape[1:3])
    np.testing.assert_allclose(method.predict(images())["activation_map"], rescale(mean), atol=1e-6)


@pytest.mark.parametrize(("head", "pooled_length"), [("gap", None), ("cross_dimensional", 50.0)])
def test_the_maps_of_cam_sum_to_the_logits(head, pooled_length):
    backbone = functools.partial(
        registry.find("backbones", "vgg16"), image_size=32, num_classes=3, weights=None, head=head
    )
    method = registry.find("methods", "cam")(BUILDERS._replace(backbone=backbone))
    upper = method.parts["upper"]
    low_level = tf.random.stateless_uniform([2, *upper.input_shape[1:]], [0, 1])
    outputs = upper(low_level)
    maps = tf.concat([method.saliency(outputs, tf.fill([2], k)) for k in range(3)], axis=-1)  # [2, h', w', 3]
    features = outputs["features"]
    factor = 1.0 / np.prod(features.shape[1:3])
    if pooled_length:
        strength = tf.reduce_mean(features, -1, keepdims=True)
        factor = pooled_length / np.linalg.norm(tf.reduce_sum(strength * features, [1, 2]), axis=1, keepdims=True)
    bias = upper.get_layer("predictions").bias
    np.testing.assert_allclose(tf.reduce_sum(maps, [1, 2]) * factor + bias, outputs["logits"], rtol=1e-4, atol=1e-6)


def test_cam_needs_a_gap_head():
    builders = Builders(
        functools.partial(
            registry.find("backbones", "vgg16"), image_size=32, num_classes=3, weights=None, head="fully_connected"
        ),
        BUILDERS.generator,
        BUILDERS.object_prior,
    )
    with pytest.raises(ValueError, match="head to 'gap'"):
        registry.find("methods", "cam")(builders)


@pytest.mark.parametrize(("threshold", "side"), [(0.5, 0.5), (0.25, 0.75)])
def test_the_centre_box_has_sides_of_1_minus_the_threshold(threshold, side):
    on = make("centre_box").predict(images())["activation_map"][0, :, :, 0].numpy() > threshold
    rows = np.flatnonzero(on.any(axis=1))
    assert (rows[-1] + 1 - rows[0]) / 16 == side
    assert rows[0] == 16 - 1 - rows[-1]
