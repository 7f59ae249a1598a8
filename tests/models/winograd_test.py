import numpy as np
import pytest
import tensorflow as tf

from ornet_tf.models import winograd

SHAPES = [(4, 4, 1, 1), (5, 7, 2, 3), (14, 14, 4, 2), (1, 9, 3, 3)]


def random_tensor(*shape):
    return tf.constant(np.random.default_rng(sum(shape)).normal(size=shape), tf.float32)


@pytest.fixture(autouse=True)
def on_the_cpu():
    with tf.device("CPU:0"):  # GPUs round products to 10 bits, and cuDNN has its own Winograd
        yield


@pytest.mark.parametrize(("height", "width", "channels", "filters"), SHAPES)
def test_outputs_and_gradients_are_those_of_conv2d(height, width, channels, filters):
    images, kernel = random_tensor(3, height, width, channels), random_tensor(3, 3, channels, filters)
    upstream = random_tensor(3, height, width, filters)
    results, gradients = [], []
    for convolve in (winograd.convolve, lambda x, k: tf.nn.conv2d(x, k, 1, "SAME")):
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = convolve(images, kernel)
        results.append(outputs)
        gradients.append(tape.gradient(outputs, images, upstream))
    np.testing.assert_allclose(results[0], results[1], atol=2e-5 * np.abs(results[1]).max())
    np.testing.assert_allclose(gradients[0], gradients[1], atol=2e-5 * np.abs(gradients[1]).max())


@pytest.mark.parametrize(("count", "tiles"), [(6, 8), (6, 1), (5, 8)])  # groups of 2, of 1, and a single group
def test_large_images_are_filtered_in_groups(monkeypatch, count, tiles):
    images, kernel = random_tensor(count, 8, 7, 3), random_tensor(3, 3, 3, 2)
    expected = winograd.convolve(images, kernel)
    monkeypatch.setattr(winograd, "_TILES_AT_ONCE", tiles)
    np.testing.assert_allclose(tf.function(winograd.convolve)(images, kernel), expected, atol=1e-5)


def test_the_kernel_gets_no_gradient():
    kernel = tf.Variable(random_tensor(3, 3, 2, 2))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(winograd.convolve(random_tensor(1, 8, 8, 2), kernel))
    assert tape.gradient(total, kernel) is None


def test_rounding_stays_small_over_many_channels():
    images, kernel = tf.nn.relu(random_tensor(2, 14, 14, 512)), random_tensor(3, 3, 512, 128)
    exact = tf.nn.conv2d(tf.cast(images, tf.float64), tf.cast(kernel, tf.float64), 1, "SAME").numpy()
    assert np.abs(winograd.convolve(images, kernel) - exact).max() < 1e-5 * np.abs(exact).max()


def test_the_number_of_images_may_be_unknown():
    traced = tf.function(winograd.convolve, input_signature=[
        tf.TensorSpec([None, 6, 6, 2]), tf.TensorSpec([3, 3, 2, 3])
    ])
    outputs = traced(random_tensor(5, 6, 6, 2), random_tensor(3, 3, 2, 3))
    assert outputs.shape == [5, 6, 6, 3]


def test_it_is_faster_if_enabled_with_many_channels_and_without_a_gpu(monkeypatch):
    assert not winograd.is_faster(512, 512)
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [])
    with winograd.enable():
        with winograd.enable():
            assert winograd.is_faster(512, 512)
        assert winograd.is_faster(128, 512)
        assert not winograd.is_faster(64, 512)
        assert not winograd.is_faster(512, 64)
        monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [kind])
        assert not winograd.is_faster(512, 512)
    monkeypatch.undo()
    assert not winograd.is_faster(512, 512)
