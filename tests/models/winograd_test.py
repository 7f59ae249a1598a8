import numpy as np
import pytest
import tensorflow as tf

from ornet_tf.models import minimal_filtering, winograd

SHAPES = [(4, 4, 1, 1), (5, 7, 2, 3), (14, 14, 4, 2), (1, 9, 3, 3)]


def random_tensor(*shape):
    return tf.constant(np.random.default_rng(sum(shape)).normal(size=shape), tf.float32)


@pytest.fixture(autouse=True)
def on_the_cpu():
    with tf.device("CPU:0"):  # GPUs round products to 10 bits, and cuDNN has its own Winograd
        yield


@pytest.mark.parametrize("mapped", [
    None, winograd.MappedKernels(), winograd.MappedKernels(for_gradients=True)
], ids=["unmapped", "mapped", "mapped_for_gradients"])
@pytest.mark.parametrize(("height", "width", "channels", "filters"), SHAPES)
def test_outputs_and_gradients_are_those_of_conv2d(height, width, channels, filters, mapped):
    images, kernel = random_tensor(3, height, width, channels), random_tensor(3, 3, channels, filters)
    upstream = random_tensor(3, height, width, filters)
    results, gradients = [], []
    for convolve in (winograd.convolve, lambda x, k: tf.nn.conv2d(x, k, 1, "SAME")):
        with tf.GradientTape() as tape, winograd.enable(mapped):
            tape.watch(images)
            outputs = convolve(images, kernel)
        results.append(outputs)
        gradients.append(tape.gradient(outputs, images, upstream))
    np.testing.assert_allclose(results[0], results[1], atol=2e-5 * np.abs(results[1]).max())
    np.testing.assert_allclose(gradients[0], gradients[1], atol=2e-5 * np.abs(gradients[1]).max())


def test_the_kernel_gets_no_gradient():
    kernel = tf.Variable(random_tensor(3, 3, 2, 2))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(winograd.convolve(random_tensor(1, 8, 8, 2), kernel))
    assert tape.gradient(total, kernel) is None


def test_the_number_of_images_may_be_unknown():
    traced = tf.function(winograd.convolve, input_signature=[
        tf.TensorSpec([None, 6, 6, 2]), tf.TensorSpec([3, 3, 2, 3])
    ])
    outputs = traced(random_tensor(5, 6, 6, 2), random_tensor(3, 3, 2, 3))
    assert outputs.shape == [5, 6, 6, 3]


def test_it_is_faster_if_enabled_with_many_channels_and_without_a_gpu(monkeypatch):
    monkeypatch.setattr(winograd, "MIN_TILES", 16)
    assert not winograd.is_faster(28, 28, 512, 512)
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [])
    with winograd.enable():
        with winograd.enable():
            assert winograd.is_faster(28, 28, 512, 512)
        assert winograd.is_faster(56, 56, 128, 512)
        assert not winograd.is_faster(56, 56, 64, 512)
        assert not winograd.is_faster(56, 56, 512, 64)
        assert not winograd.is_faster(7, 7, 512, 512, 3)
        assert winograd.is_faster(7, 7, 512, 512, 8)
        with winograd.enable(for_cpu=False):
            assert not winograd.is_faster(28, 28, 512, 512)
    assert not winograd.is_faster(28, 28, 512, 512)
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [kind])
    with winograd.enable():
        assert not winograd.is_faster(28, 28, 512, 512)
    with winograd.enable(for_cpu=True):
        assert winograd.is_faster(28, 28, 512, 512)


def test_a_kernel_is_mapped_once_for_all_layers_with_equal_values():
    first, second = (tf.Variable(random_tensor(3, 3, 4, 5)) for _ in range(2))
    images, mapped = random_tensor(3, 8, 8, 4), winograd.MappedKernels()
    expected = tf.nn.conv2d(images, first, 1, "SAME")

    @tf.function
    def convolve(images):
        with winograd.enable(mapped, for_cpu=True):
            return winograd.convolve(images, first), winograd.convolve(images, second)

    for outputs in convolve(images):
        np.testing.assert_allclose(outputs, expected, atol=2e-5 * np.abs(expected).max())
    assert len(mapped.variables) == 1
    with winograd.enable(mapped):
        winograd.convolve(images, first + 1.0)
    assert len(mapped.variables) == 2


def test_replicas_share_mapped_kernels():
    devices = [f"CPU:{i}" for i in range(len(tf.config.list_logical_devices("CPU")))]
    strategy, mapped = tf.distribute.MirroredStrategy(devices), winograd.MappedKernels()
    with strategy.scope():
        kernel = tf.Variable(random_tensor(3, 3, 4, 5))
    images = random_tensor(3, 8, 8, 4)

    def convolve():
        with winograd.enable(mapped, for_cpu=True):
            return winograd.convolve(images, kernel)

    outputs = tf.function(lambda: strategy.run(convolve))()
    expected = tf.nn.conv2d(images, strategy.experimental_local_results(kernel)[0], 1, "SAME")
    for output in strategy.experimental_local_results(outputs):
        np.testing.assert_allclose(output, expected, atol=2e-5 * np.abs(expected).max())
    assert len(mapped.variables) == 1


@pytest.mark.parametrize("count", [1, 2, 3])
def test_batches_of_unknown_size_are_filtered_if_they_are_large_enough(monkeypatch, count):
    kernel, mapped, sizes = tf.Variable(random_tensor(3, 3, 4, 5)), winograd.MappedKernels(), []
    monkeypatch.setattr(winograd, "MIN_TILES", 2 * 4)

    def watched(images, weights):
        outputs = minimal_filtering.filter_images(images, weights)
        with tf.control_dependencies([tf.py_function(lambda size: sizes.append(int(size)), [tf.shape(images)[0]], [])]):
            return tf.identity(outputs)

    monkeypatch.setattr(winograd, "filter_images", watched)

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 7, 4])])
    def convolve(images):
        with winograd.enable(mapped, for_cpu=True):
            return winograd.convolve(images, kernel)

    images = random_tensor(count, 8, 7, 4)
    expected = tf.nn.conv2d(images, kernel, 1, "SAME")
    np.testing.assert_allclose(convolve(images), expected, atol=2e-5 * np.abs(expected).max())
    assert sizes == ([count] if count > 1 else [])


def test_a_saved_graph_needs_only_mapped_kernels(tmp_path, monkeypatch):
    monkeypatch.setattr(winograd, "MIN_TILES", 4)
    kernel, mapped, module = tf.Variable(random_tensor(3, 3, 4, 5)), winograd.MappedKernels(), tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 4])])
    def convolve(images):
        with winograd.enable(mapped, for_cpu=True):
            return {"outputs": winograd.convolve(images, kernel)}

    module.convolve = convolve
    convolve.get_concrete_function()
    module.kernels = mapped.variables
    tf.saved_model.save(module, str(tmp_path), signatures=convolve)
    images = random_tensor(3, 8, 8, 4)
    loaded = tf.saved_model.load(str(tmp_path))
    outputs = loaded.signatures["serving_default"](images=images)["outputs"]
    np.testing.assert_array_equal(outputs, convolve(images)["outputs"])
    saved = tf.train.list_variables(str(tmp_path / "variables" / "variables"))
    assert [shape for name, shape in saved if "VARIABLE_VALUE" in name] == [[36, 1, 4, 5]]
