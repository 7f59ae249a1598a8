import sys
import types

import numpy as np
import pytest
import tensorflow as tf

from ornet_tf.compat import addons_connected_components
from ornet_tf.config_check import validate
from ornet_tf.maps import addons_components, boxes, components
from ornet_tf.metrics._localization_metrics import THRESHOLDS
from tests import tiny_experiment

needs_addons = pytest.mark.skipif(
    addons_connected_components() is None, reason="needs tensorflow-addons: `make test-addons` runs this"
)
SHAPES = [(1, 1), (1, 9), (9, 1), (2, 2), (5, 8), (14, 14), (16, 13)]


def random_maps(shape, count, seed=0):
    """Returns maps in 0..1 of different smoothness: noise averaged over neighbourhoods of 1 to 4 pixels."""
    rng = np.random.default_rng(seed)
    maps = [
        tf.nn.avg_pool2d(rng.random([count // 4, *shape, 1], np.float32), size, 1, "SAME").numpy()
        for size in (1, 2, 3, 4)
    ]
    maps = np.concatenate(maps)
    low, high = maps.min((1, 2), keepdims=True), maps.max((1, 2), keepdims=True)
    return np.float32((maps - low) / np.maximum(high - low, 1e-6))


@needs_addons
@pytest.mark.parametrize("shape", SHAPES)
def test_native_labels_are_those_of_the_addons_kernel(shape):
    maps = random_maps(shape, 2000)[..., 0]
    binary = tf.constant(maps > np.random.default_rng(1).random([len(maps), 1, 1], np.float32))
    expected = addons_components.label_components(binary)
    np.testing.assert_array_equal(components.label_components(binary), expected)


@needs_addons
@pytest.mark.parametrize("shape", SHAPES)
def test_both_backends_give_the_same_boxes(shape):
    maps = tf.constant(random_maps(shape, 400))
    native, addons = (
        boxes.find_boxes(maps, tf.constant(THRESHOLDS), rule="largest", backend=backend)
        for backend in ("native", "addons")
    )
    np.testing.assert_array_equal(addons, native)


@needs_addons
def test_auto_uses_the_addons_if_they_are_installed():
    assert addons_components.use_addons("auto")
    assert not addons_components.use_addons("native")


@needs_addons
def test_pixels_that_share_a_corner_are_connected():
    image = np.array([[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 1]], bool)[None]
    np.testing.assert_array_equal(
        addons_components.label_components(tf.constant(image))[0], [[1, 0, 0, 4], [0, 1, 0, 0], [0, 0, 0, 12]]
    )


def test_without_the_addons_auto_is_native_and_addons_is_refused(monkeypatch):
    monkeypatch.setattr(addons_components, "addons_connected_components", lambda: None)
    assert not addons_components.use_addons("auto")
    with pytest.raises(ValueError, match="needs tensorflow-addons"):
        addons_components.use_addons("addons")
    config = tiny_experiment.get_config()
    config.evaluation.components = "addons"
    with pytest.raises(ValueError, match="config.evaluation.components: .* tensorflow-addons"):
        validate(config)


def test_an_unknown_backend_is_refused():
    with pytest.raises(ValueError, match="components: .* got 'scipy'"):
        boxes.find_boxes(tf.zeros([1, 2, 2]), tf.constant([0.5]), rule="tight", backend="scipy")


@needs_addons
def test_an_empty_batch_has_no_boxes():
    found = boxes.find_boxes(tf.zeros([0, 4, 4]), tf.constant([0.2, 0.5]), rule="largest", backend="addons")
    assert found.shape == (0, 2, 4)


def test_addons_whose_kernels_do_not_load_count_as_not_installed(monkeypatch):
    def connected_components(_):
        raise tf.errors.NotFoundError(None, None, "undefined symbol")

    image = types.ModuleType("tensorflow_addons.image")
    image.connected_components = connected_components
    monkeypatch.setitem(sys.modules, "tensorflow_addons", types.ModuleType("tensorflow_addons"))
    monkeypatch.setitem(sys.modules, "tensorflow_addons.image", image)
    assert addons_connected_components.__wrapped__() is None
