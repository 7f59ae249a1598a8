import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import randomness
from ornet_tf.compat import keras, tf_variable
from ornet_tf.models import layers, winograd


def test_caffe_normalization_is_that_of_keras_applications():
    images = tf.random.stateless_uniform([2, 4, 4, 3], [1, 2], 0.0, 255.0)
    expected = keras.applications.vgg16.preprocess_input(images.numpy())
    np.testing.assert_allclose(layers.CaffeNormalization()(images), expected, atol=1e-4)


def test_the_mean_colour_becomes_zero():
    mean = tf.constant(layers.IMAGENET_MEAN_RGB)[tf.newaxis, tf.newaxis, tf.newaxis]
    np.testing.assert_allclose(layers.CaffeNormalization()(mean), 0, atol=1e-5)


def test_batch_norm_spans_the_replicas_of_the_strategy():
    assert not layers.batch_norm("alone").synchronized
    devices = [f"CPU:{i}" for i in range(len(tf.config.list_logical_devices("CPU")))]
    with tf.distribute.MirroredStrategy(devices).scope():
        assert layers.batch_norm("together").synchronized == (len(devices) > 1)


def test_conv_norm_relu_normalises_before_the_relu():
    inputs = keras.Input((6, 6, 3))
    model = keras.Model(inputs, layers.conv_norm_relu(inputs, 5, "block"))
    assert [layer.name for layer in model.layers[1:]] == ["block_conv", "block_norm", "block_relu"]
    outputs = model(tf.random.stateless_normal([8, 6, 6, 3], [1, 2]), training=True).numpy()
    assert outputs.min() == 0
    # The ReLU of a standard normal variable has the mean 0.399, its square the mean 0.5.
    np.testing.assert_allclose(outputs.mean(axis=(0, 1, 2)), 0.399, atol=0.05)
    np.testing.assert_allclose(np.square(outputs).mean(axis=(0, 1, 2)), 0.5, atol=0.08)


def normalized(features, gamma, beta):
    mean, variance = tf.nn.moments(features, [0, 1, 2])
    return tf.nn.batch_normalization(features, mean, variance, beta, gamma, 1e-5), mean, variance


def test_batch_norm_trains_with_the_statistics_of_the_batch():
    features = tf.random.stateless_normal([4, 5, 6, 3], [1, 2], mean=2.0, stddev=3.0)
    weights = tf.random.stateless_normal(features.shape, [3, 4])
    gamma, beta = tf.constant([1.0, 2.0, 3.0]), tf.constant([0.0, -1.0, 1.0])
    norm = layers.batch_norm("norm")
    norm.build(features.shape)
    norm.set_weights([gamma, beta, np.zeros(3), np.ones(3)])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([features, gamma, beta])
        outputs = norm(features, training=True)
        expected, mean, variance = normalized(features, gamma, beta)
        sums = [tf.reduce_sum(values * weights) for values in (outputs, expected)]
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    gradients = tape.gradient(sums[0], [features, *map(tf_variable, norm.trainable_weights)])
    for actual, wanted in zip(gradients, tape.gradient(sums[1], [features, gamma, beta])):
        np.testing.assert_allclose(actual, wanted, atol=1e-3)
    np.testing.assert_allclose(norm.moving_mean, 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, 0.9 + 0.1 * variance, rtol=1e-5)


def test_a_frozen_normalization_is_folded_into_its_convolution():
    inputs = keras.Input((6, 6, 3))
    model = keras.Model(inputs, layers.conv_norm_relu(inputs, 5, "block"))
    images = tf.random.stateless_normal([2, 6, 6, 3], [1, 2])

    def outputs_and_gradient():
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = model(images, training=False)
        return outputs.numpy(), tape.gradient(outputs, images).numpy()

    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.5, 2.0, w.shape) for w in model.get_weights()])
    layers.freeze_untrained(model, [])
    assert not model.get_layer("block_norm").is_folded  # in training it would follow its batches
    expected = outputs_and_gradient()
    model.trainable = False
    layers.freeze_untrained(model, [])
    assert model.get_layer("block_norm").is_folded
    for actual, wanted in zip(outputs_and_gradient(), expected):
        np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-4)
    model.set_weights([np.zeros_like(w) + (w.ndim == 1) for w in model.get_weights()])  # kernel 0, the others 1
    np.testing.assert_allclose(model(images, training=True), 1 - 1 / np.sqrt(1 + 1e-5), atol=1e-6)


@pytest.mark.parametrize("use_bias", [True, False])
def test_a_frozen_convolution_uses_winograd_where_it_is_enabled(monkeypatch, use_bias):
    calls = []
    convolve = winograd.convolve
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [])
    monkeypatch.setattr(winograd, "MIN_TILES", 16)
    monkeypatch.setattr(winograd, "convolve", lambda *a: calls.append(1) or convolve(*a))
    layer = layers.Conv3x3(128, use_bias=use_bias, activation="relu", bias_initializer="ones")
    images = tf.random.stateless_normal([2, 12, 12, 128], [1, 2])
    expected = layer(images)
    assert expected.numpy().min() == 0
    with winograd.enable():
        np.testing.assert_array_equal(layer(images), expected)  # not frozen
        assert not calls
        with winograd.enable(in_inference=True):
            np.testing.assert_allclose(layer(images), expected, atol=1e-4)
        assert len(calls) == 1
        calls.clear()
        layer.trainable = False
        assert not calls
        np.testing.assert_allclose(layer(images), expected, atol=1e-4)
    assert len(calls) == 1
    np.testing.assert_array_equal(layer(images), expected)  # not enabled
    assert len(calls) == 1


def test_layers_without_trained_variables_are_frozen():
    inputs = keras.Input((6, 6, 2))
    first, second = layers.Conv3x3(3, name="first"), layers.Conv3x3(3, name="second")
    norm = layers.batch_norm("norm")  # frozen, it would no longer use batch statistics
    model = keras.Model(inputs, norm(second(first(inputs))))
    layers.freeze_untrained(model, second.weights)
    assert [layer.trainable for layer in (first, second, norm)] == [False, True, True]


def chain(*rest, skip=False):
    """Returns a model of a frozen convolution, pooling and further layers."""
    x = inputs = keras.Input((4, 4, 2))
    for layer in (layers.Conv3x3(3, name="conv"), keras.layers.GlobalAveragePooling2D(name="gap"), *rest):
        x = layer(x)
    x = keras.layers.Concatenate()([x, keras.layers.Flatten()(inputs)]) if skip else x
    model = keras.Model(inputs, x)
    model.get_layer("conv").trainable = False
    return model


@pytest.mark.parametrize(
    ("rest", "deepest"),
    [
        ([keras.layers.Dense(5)], "gap"),
        ([layers.ExampleDropout(0.0, name="none"), keras.layers.Dense(5)], "none"),
        ([layers.ExampleDropout(0.5), keras.layers.Dense(5)], "gap"),
        ([layers.batch_norm("norm")], "gap"),
        ([layers.batch_norm("frozen", trainable=False), keras.layers.Dense(5)], "frozen"),
    ],
)
def test_a_model_is_split_at_the_deepest_tensor_that_training_leaves(rest, deepest):
    model = chain(*rest)
    frozen, head = layers.split_behind_frozen(model, model.output)
    assert frozen.layers[-1].name == deepest
    images = tf.random.stateless_normal([2, 4, 4, 2], [1, 2])
    np.testing.assert_allclose(head(frozen(images)), model(images), atol=1e-6)
    assert {id(v) for v in head.trainable_variables} == {id(v) for v in model.trainable_variables}


def test_a_model_is_not_split_where_a_later_layer_reads_an_earlier_tensor():
    model = chain(keras.layers.Dense(5), skip=True)
    assert layers.split_behind_frozen(model, model.output) is None
    model = chain()
    model.get_layer("conv").trainable = True
    assert layers.split_behind_frozen(model, model.output) is None


def test_a_convolution_can_be_rebuilt_from_its_config():
    layer = layers.Conv3x3(5, activation="relu", name="conv")
    rebuilt = layers.Conv3x3.from_config(layer.get_config())
    assert (rebuilt.name, rebuilt.filters, rebuilt.kernel_size, rebuilt.padding) == ("conv", 5, (3, 3), "same")


def test_a_frozen_convolution_of_low_precision_does_not_use_winograd():
    layer = layers.Conv3x3(128, dtype="mixed_bfloat16")
    layer.trainable = False
    images = tf.random.stateless_normal([2, 12, 12, 128], [1, 2])
    expected = layer(images)
    with winograd.enable():
        np.testing.assert_array_equal(layer(images), expected)


def test_inserting_layers_shares_weights_and_leaves_the_model_unchanged():
    inputs = keras.Input((4,), name="inputs")
    first = keras.layers.Dense(3, name="first")(inputs)
    second = keras.layers.Dense(3, name="second")(inputs)
    both = keras.layers.Concatenate(name="both")([first, second])
    last = keras.layers.Dense(2, name="last")(both)
    model = keras.Model(inputs, {"both": both, "last": last}, name="branched")
    twice, minus = (keras.layers.Rescaling(scale, name=f"times_{scale}") for scale in (2.0, -1.0))
    values = tf.random.stateless_normal([5, 4], [1, 2])
    before = model(values)
    other = layers.insert_after(model, {"second": twice, "both": minus})
    a, b = (model.get_layer(name)(values) for name in ("first", "second"))
    expected = -tf.concat([a, 2.0 * b], axis=1)
    np.testing.assert_allclose(other(values)["both"], expected, atol=1e-6)
    np.testing.assert_allclose(other(values)["last"], model.get_layer("last")(expected), atol=1e-6)
    for name, value in before.items():
        np.testing.assert_array_equal(model(values)[name], value)
    assert (other.name, len(other.weights)) == ("branched", len(model.weights))
    model.get_layer("last").set_weights([np.zeros([6, 2]), np.ones([2])])
    np.testing.assert_array_equal(other(values)["last"], np.ones([5, 2]))


def keys(count):
    return randomness.key(0, tf.constant(0, tf.int64), tf.range(count, dtype=tf.int64))


def test_dropout_drops_its_share_and_depends_on_each_examples_key():
    layer = layers.ExampleDropout(0.3, name="drop")
    values = tf.ones([40, 500])
    with randomness.examples(keys(40)):
        dropped = layer(values, training=True).numpy()
    assert abs((dropped == 0).mean() - 0.3) < 0.01
    np.testing.assert_allclose(dropped[dropped != 0], 1 / 0.7, rtol=1e-6)
    with randomness.examples(keys(40)[10:20]):
        np.testing.assert_array_equal(layer(values[:10], training=True), dropped[10:20])
        other = layers.ExampleDropout(0.3, name="another")(values[:10], training=True).numpy()
    assert (other != dropped[10:20]).any()


def test_dropout_does_nothing_in_inference_and_needs_keys_in_training():
    values = tf.ones([2, 3])
    np.testing.assert_array_equal(layers.ExampleDropout(0.9)(values, training=False), values)
    with randomness.examples(keys(2)):
        np.testing.assert_array_equal(layers.ExampleDropout(0.0)(values, training=True), values)
    with pytest.raises(ValueError, match="drop: .* inside `randomness.examples"):
        layers.ExampleDropout(0.5, name="drop")(values, training=True)
    with pytest.raises(ValueError, match="dropout: .* got 1.0"):
        layers.ExampleDropout(1.0)
