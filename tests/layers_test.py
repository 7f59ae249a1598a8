import numpy as np
import tensorflow as tf

from ornet_tf import layers
from ornet_tf.compat import keras


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


def test_conv_norm_relu_normalises_then_cuts_off():
    inputs = keras.Input((6, 6, 3))
    model = keras.Model(inputs, layers.conv_norm_relu(inputs, 5, "block"))
    assert [layer.name for layer in model.layers[1:]] == ["block_conv", "block_norm", "block_relu"]
    outputs = model(tf.random.stateless_normal([8, 6, 6, 3], [1, 2]), training=True).numpy()
    assert outputs.min() == 0
    # A standard normal variable cut off at 0 has the mean 0.399 and, of its square, 0.5.
    np.testing.assert_allclose(outputs.mean(axis=(0, 1, 2)), 0.399, atol=0.05)
    np.testing.assert_allclose(np.square(outputs).mean(axis=(0, 1, 2)), 0.5, atol=0.08)
