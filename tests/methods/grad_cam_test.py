import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import registry
from ornet_tf.maps.rescale import rescale
from tests.tiny_methods import (
    BUILDERS,
    FULLY_CONNECTED,
    conv_maps_and_gradients,
    images,
    normalized,
    predict_after_saving,
)

build = registry.find("methods", "grad_cam")


def by_definition(maps, gradients, grid):
    """Returns the map of Eq. 1 and 2 of each example, enlarged and rescaled: [B, h, w, 1]."""
    weights = gradients.mean(axis=(1, 2), keepdims=True)
    raw = np.maximum((weights * maps).sum(axis=3, keepdims=True), 0)
    return rescale(tf.image.resize(raw, grid)).numpy()


def test_with_global_average_pooling_the_map_is_cam():
    method = build(BUILDERS)
    outputs = method.parts["upper"](method.parts["lower"](normalized()))
    kernel = method.parts["upper"].get_layer("predictions").get_weights()[0]
    predicted = outputs["logits"].numpy().argmax(axis=1)
    gradients = np.broadcast_to((kernel.T / 16)[predicted][:, None, None], outputs["features"].shape)
    expected = by_definition(outputs["features"].numpy(), gradients, method.parts["lower"].output_shape[1:3])
    assert expected.max(axis=(1, 2, 3)).min() == 1  # none is empty
    found = method.predict(images())
    np.testing.assert_allclose(found["activation_map"], expected, atol=1e-4)
    np.testing.assert_allclose(found["logits"], outputs["logits"], atol=1e-5)


def test_a_layer_of_upper_gets_the_gradient_of_each_examples_own_logit():
    method = build(BUILDERS, layer="block3_1_conv")
    found = method.predict(images())
    maps, gradients = conv_maps_and_gradients(method, found["logits"].numpy().argmax(axis=1))
    expected = by_definition(maps, gradients, method.parts["lower"].output_shape[1:3])
    assert expected.max() == 1
    np.testing.assert_allclose(found["activation_map"], expected, atol=1e-4)


def test_a_fully_connected_head_works():
    outputs = build(FULLY_CONNECTED).predict(tf.image.resize(images(2), [32, 32]))
    assert outputs["activation_map"].shape == (2, 8, 8, 1)
    assert outputs["activation_map"].numpy().max() == 1


def test_a_layer_without_feature_maps_is_refused():
    for name in ("block9", "gap", "low_level_features"):
        message = f"layer: expected .* got '{name}'; choose from block3_1_conv, .*block3_1_relu"
        with pytest.raises(ValueError, match=message):
            build(BUILDERS, layer=name)


@pytest.mark.parametrize("layer", ["", "block3_1_conv"])
def test_a_saved_model_computes_the_same_map(layer, tmp_path):
    method = build(BUILDERS, layer=layer)
    found = predict_after_saving(method, tmp_path)
    for name, value in method.predict(images()).items():
        np.testing.assert_allclose(found[name], value, atol=1e-5, err_msg=name)
