import functools

import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import registry
from ornet_tf.maps.rescale import rescale
from ornet_tf.methods import predict_with_labels
from tests.tiny_methods import BUILDERS, images, normalized, predict_after_saving

build = registry.find("methods", "pc1")


def by_definition(features, weights):
    """The map [h, w] of one image, step by step: features [h, w, D], class weights [D]."""
    height, width, depth = features.shape
    samples = []
    for c in range(depth):
        weighted = np.float64(features[..., c]) * weights[c]
        if weighted.max() > weighted.min():
            samples.append((weighted - weighted.min()) / (weighted.max() - weighted.min()))
    samples = np.array(samples).reshape(-1, height * width)
    axis = np.linalg.svd(samples - samples.mean(axis=0))[2][0].reshape(height, width)
    inside = [(row, column) for row in range(1, height - 1) for column in range(1, width - 1)]
    border = [axis[at] for at in np.ndindex(height, width) if at not in inside]
    share = np.mean([value > axis.mean() for value in border])
    axis = -axis if share > 0.5 or (share == 0.5 and np.mean(border) > axis.mean()) else axis
    return axis - axis.min()


def with_features(features, weights):
    """The method's map before it is enlarged: features [B, h, w, D], weights of each class [D, K]; class 0."""
    method = build(BUILDERS)
    method.class_weights = lambda classes: tf.gather(tf.transpose(tf.constant(weights, tf.float32)), classes)
    return method.saliency({"features": tf.constant(features, tf.float32)}, tf.zeros([len(features)], tf.int32)).numpy()


@pytest.mark.parametrize("seed", range(4))
def test_the_map_is_the_first_principal_axis_of_the_scaled_weighted_maps(seed):
    random = np.random.default_rng(seed)
    features = random.normal(size=[3, 5, 4, 7]) + random.normal(size=[3, 5, 4, 1]) * 2
    features[:, :, :, 2] = 0.5  # a constant map
    weights = random.normal(size=[7, 1])
    weights[4] = 0
    found = with_features(features, weights)
    for example in range(3):
        expected = by_definition(features[example], weights[:, 0])
        one, other = (value / value.max() for value in (found[example, :, :, 0], expected))
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_the_map_of_a_network_has_the_weights_of_the_predicted_class_or_of_the_label():
    method, labelled = build(BUILDERS), build(BUILDERS, classes="label")
    for part, model in labelled.parts.items():
        model.set_weights(method.parts[part].get_weights())
    lower, upper = method.parts["lower"], method.parts["upper"]
    outputs = {name: value.numpy() for name, value in upper(lower(normalized())).items()}
    kernel = upper.get_layer("predictions").get_weights()[0]
    predicted, least = (choose(outputs["logits"], axis=1) for choose in (np.argmax, np.argmin))
    for classes, found in (
        (predicted, method.predict(images())),
        (least, predict_with_labels(labelled, images(), tf.constant(least, tf.int32))),
    ):
        axes = np.stack([by_definition(f, kernel[:, k]) for f, k in zip(outputs["features"], classes)])
        expected = rescale(tf.image.resize(np.float32(axes)[..., None], lower.output_shape[1:3]))
        np.testing.assert_allclose(found["activation_map"], expected, atol=1e-3)
        np.testing.assert_allclose(found["logits"], outputs["logits"], atol=1e-5)
    with pytest.raises(ValueError, match="classes='label'.*config.export.row"):
        labelled.predict(images())


def blob(height, width):
    """Features [height, width, 8] that are strong in a rectangle inside, half of them with a negative class weight."""
    features = np.random.default_rng(1).normal(size=[height, width, 8]) * 0.1
    features[2:5, 2:4] += 1
    return features, np.array([1.0, -1.0] * 4)[:, None]


@pytest.mark.parametrize("sign", [1, -1])
def test_the_object_is_high_and_the_border_is_low_whatever_the_sign_of_the_features(sign):
    features, weights = blob(8, 6)
    found = with_features(sign * features[None], weights)[0, :, :, 0]
    inside = np.zeros([8, 6], bool)
    inside[2:5, 2:4] = True
    assert found[inside].min() > found[~inside].max()


@pytest.mark.parametrize("high", ["left", "right"])
def test_if_half_of_the_border_is_high_its_mean_is_below_the_mean_of_the_map(high):
    pattern = np.zeros([4, 4])
    pattern[:, :2] = 1
    pattern[1, 1] = 3
    pattern = pattern if high == "left" else pattern[:, ::-1]
    features = pattern[None, :, :, None] * np.array([1.0, 2.0])
    found = with_features(features, np.array([[1.0], [-1.0]]))[0, :, :, 0]
    np.testing.assert_allclose(found / found.max(), pattern / 3, atol=1e-5)


def test_constant_images_and_class_weights_of_0_give_finite_maps():
    method = build(BUILDERS)
    constant = tf.constant([0.0, 128.0, 255.0])[:, None, None, None] * tf.ones([3, 16, 16, 3])
    assert np.isfinite(method.predict(constant)["activation_map"]).all()
    for features in (np.ones([2, 4, 4, 3]), np.random.default_rng(0).normal(size=[2, 4, 4, 1])):  # no or one map varies
        depth = features.shape[-1]
        np.testing.assert_array_equal(with_features(features, np.ones([depth, 1])), np.zeros([2, 4, 4, 1]))
    dense = method.parts["upper"].get_layer("predictions")
    dense.set_weights([0 * value for value in dense.get_weights()])
    np.testing.assert_array_equal(method.predict(images())["activation_map"], np.zeros([4, 4, 4, 1]))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_give_nan_for_their_image_only(value):
    features = np.random.default_rng(2).normal(size=[2, 4, 4, 6])
    features[1, 2, 3, 4] = value
    found = with_features(features, np.ones([6, 1]))
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1]).all()


def test_a_fully_connected_head_and_other_classes_are_refused():
    vgg16 = functools.partial(
        registry.find("backbones", "vgg16"), image_size=32, num_classes=3, weights=None, head="fully_connected"
    )
    with pytest.raises(ValueError, match="head to 'gap'"):
        build(BUILDERS._replace(backbone=vgg16))
    with pytest.raises(ValueError, match="classes: expected one of predicted, label, got 'true'"):
        build(BUILDERS, classes="true")


def test_a_saved_model_computes_the_same_map(tmp_path):
    method = build(BUILDERS)
    found = predict_after_saving(method, tmp_path)
    for name, value in method.predict(images()).items():
        np.testing.assert_allclose(found[name], value, atol=1e-5, err_msg=name)
