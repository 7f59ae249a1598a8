import numpy as np
import pytest
import tensorflow as tf

from ornet_tf.models import minimal_filtering


def random_tensor(*shape):
    return tf.constant(np.random.default_rng(sum(shape)).normal(size=shape), tf.float32)


@pytest.fixture(autouse=True)
def on_the_cpu():
    with tf.device("CPU:0"):  # GPUs round products to 10 bits
        yield


@pytest.mark.parametrize("batch", ["static", "dynamic"])
@pytest.mark.parametrize(("count", "height", "tiles"), [
    # Two images; then one at the end; strips of one and of two rows; one image.
    (6, 8, 8), (5, 8, 8), (3, 8, 1), (1, 16, 4), (3, 7, 1)
])
def test_large_batches_are_filtered_in_groups(monkeypatch, batch, count, height, tiles):
    images, kernel = random_tensor(count, height, 7, 3), random_tensor(3, 3, 3, 256)
    expected = tf.nn.conv2d(images, kernel, 1, "SAME")
    monkeypatch.setattr(minimal_filtering, "_TILES_AT_ONCE", tiles)
    shape = [count if batch == "static" else None, height, 7, 3]
    weights = minimal_filtering.map_kernel(kernel)
    convolve = tf.function(
        lambda images: minimal_filtering.filter_images(images, weights), input_signature=[tf.TensorSpec(shape)]
    )
    np.testing.assert_allclose(convolve(images), expected, atol=1e-5 * np.abs(expected).max())


def test_rounding_stays_small_over_many_channels():
    images, kernel = tf.nn.relu(random_tensor(2, 14, 14, 512)), random_tensor(3, 3, 512, 128)
    exact = tf.nn.conv2d(tf.cast(images, tf.float64), tf.cast(kernel, tf.float64), 1, "SAME").numpy()
    found = minimal_filtering.filter_images(images, minimal_filtering.map_kernel(kernel))
    assert np.abs(found - exact).max() < 1e-5 * np.abs(exact).max()


def test_a_rotated_kernel_gives_the_gradient_of_the_images():
    images, kernel = random_tensor(2, 9, 6, 3), random_tensor(3, 3, 3, 5)
    upstream = random_tensor(2, 9, 6, 5)
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = tf.nn.conv2d(images, kernel, 1, "SAME")
    expected = tape.gradient(outputs, images, upstream)
    found = minimal_filtering.filter_images(upstream, minimal_filtering.map_kernel(minimal_filtering.rotate(kernel)))
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())
