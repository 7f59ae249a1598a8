import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import registry
from ornet_tf.maps.rescale import rescale
from ornet_tf.methods import predict_with_labels
from tests.tiny_methods import (
    BUILDERS,
    FULLY_CONNECTED,
    conv_maps_and_gradients,
    images,
    normalized,
    predict_after_saving,
)

build = registry.find("methods", "bag_cams")


def by_definition(maps, gradients, logits, grid):
    """The map of each example, localizer by localizer and position by position, enlarged and rescaled: [B, h, w, 1]."""
    count, height, width, depth = maps.shape
    raw = np.zeros([count, height * width])
    for example in range(count):
        z = np.float64(maps[example]).reshape(-1, depth)
        g = np.float64(gradients[example]).reshape(-1, depth) / abs(logits[example])  # of the logit's logarithm
        for i in range(len(z)):
            for c in range(depth):
                scores = [(1 + g[m, c] * z[m, c]) * g[i, c] * z[i, c] for m in range(len(z))]
                raw[example, i] += max(0, np.mean(scores))
    return rescale(tf.image.resize(np.float32(raw).reshape(count, height, width, 1), grid)).numpy()


def test_with_global_average_pooling_all_positions_have_the_class_weights():
    method = build(BUILDERS)
    lower, upper = method.parts["lower"], method.parts["upper"]
    outputs = upper(lower(normalized()))
    kernel = upper.get_layer("predictions").get_weights()[0]
    logits = outputs["logits"].numpy()
    gradients = np.broadcast_to((kernel.T / 16)[logits.argmax(axis=1)][:, None, None], outputs["features"].shape)
    expected = by_definition(outputs["features"].numpy(), gradients, logits.max(axis=1), lower.output_shape[1:3])
    assert expected.max(axis=(1, 2, 3)).min() == 1  # none is empty
    found = method.predict(images())
    np.testing.assert_allclose(found["activation_map"], expected, atol=1e-4)
    np.testing.assert_allclose(found["logits"], logits, atol=1e-5)


@pytest.mark.parametrize("choose", [np.argmax, np.argmin])
def test_a_layer_has_the_mean_of_the_localizers_of_all_positions(choose):
    method = build(BUILDERS, layer="block3_1_conv", classes="label")
    logits = method.parts["upper"](method.parts["lower"](normalized()))["logits"].numpy()
    labels = np.int32(choose(logits, axis=1))
    chosen = logits[np.arange(4), labels]
    assert chosen.min() < 0 or choose is np.argmax  # logits below 0 are among them
    maps, gradients = conv_maps_and_gradients(method, labels)
    expected = by_definition(maps, gradients, chosen, method.parts["lower"].output_shape[1:3])
    assert expected.max(axis=(1, 2, 3)).min() == 1
    found = predict_with_labels(method, images(), tf.constant(labels))
    np.testing.assert_allclose(found["activation_map"], expected, atol=1e-4)


def test_predictions_have_the_map_of_the_predicted_class_and_no_map_of_a_label():
    predicting, labelled = build(BUILDERS, layer="block3_1_conv"), build(BUILDERS, classes="label")
    found = predicting.predict(images())
    expected = predicting.predict_for_classes(images(), tf.argmax(found["logits"], axis=1))
    np.testing.assert_array_equal(found["activation_map"], expected["activation_map"])
    other = predicting.predict_for_classes(images(), tf.argmin(found["logits"], axis=1))
    assert np.abs(other["activation_map"] - found["activation_map"]).max(axis=(1, 2, 3)).min() > 0.1
    with pytest.raises(ValueError, match="classes='label'.*config.export.row"):
        labelled.predict(images())


def test_a_logit_of_0_and_constant_images_give_finite_maps():
    method = build(BUILDERS, layer="block3_1_conv")
    constant = tf.constant([0.0, 128.0, 255.0])[:, None, None, None] * tf.ones([3, 16, 16, 3])
    assert np.isfinite(method.predict(constant)["activation_map"]).all()
    dense = method.parts["upper"].get_layer("predictions")
    kernel, bias = dense.get_weights()
    dense.set_weights([0 * kernel, bias])  # all logits are 0, and so are all gradients
    np.testing.assert_array_equal(method.predict(images())["activation_map"], np.zeros([4, 4, 4, 1]))
    maps, gradients = (tf.random.stateless_normal([2, 4, 4, 6], [seed, 1]) for seed in (1, 2))
    tiny, zero = (method.combine(maps, gradients, tf.fill([2], value)) for value in (1e-30, 0.0))
    np.testing.assert_allclose(rescale(zero), rescale(tiny), atol=1e-5)
    assert np.all(rescale(zero).numpy().max(axis=(1, 2, 3)) == 1)


def test_a_fully_connected_head_works():
    outputs = build(FULLY_CONNECTED).predict(tf.image.resize(images(2), [32, 32]))
    assert outputs["activation_map"].shape == (2, 8, 8, 1)
    assert outputs["activation_map"].numpy().max() == 1


def test_wrong_options_are_refused():
    with pytest.raises(ValueError, match="layer: expected .* got 'gap'; choose from block3_1_conv, .*block3_1_relu"):
        build(BUILDERS, layer="gap")
    with pytest.raises(ValueError, match="classes: expected one of predicted, label, got 'true'"):
        build(BUILDERS, classes="true")


@pytest.mark.parametrize("layer", ["", "block3_1_conv"])
def test_a_saved_model_computes_the_same_map(layer, tmp_path):
    method = build(BUILDERS, layer=layer)
    found = predict_after_saving(method, tmp_path)
    for name, value in method.predict(images()).items():
        np.testing.assert_allclose(found[name], value, atol=1e-5, err_msg=name)
