import numpy as np
import pytest
import tensorflow as tf

from ornet_tf.compat import keras
from ornet_tf.models.pooling import CrossDimensionalPooling, strength


def test_strong_positions_count_more_and_the_length_is_constant():
    features = np.zeros([2, 2, 2, 3], np.float32)
    features[0, 0, 0] = [3.0, 0.0, 0.0]
    features[0, 1, 1] = [0.0, 0.0, 6.0]
    features[1] = 100.0
    np.testing.assert_array_equal(strength(features)[0, ..., 0], [[1.0, 0.0], [0.0, 2.0]])
    pooled = CrossDimensionalPooling()(features)
    direction = np.array([3.0 * 1.0, 0.0, 6.0 * 2.0])
    np.testing.assert_allclose(pooled[0], 50.0 * direction / np.linalg.norm(direction), rtol=1e-6)
    np.testing.assert_allclose(pooled[1], [50.0 / np.sqrt(3.0)] * 3, rtol=1e-6)


def test_the_size_of_the_object_and_its_brightness_do_not_matter():
    patch = np.random.RandomState(0).rand(1, 3, 3, 8).astype(np.float32)
    small = np.zeros([1, 9, 9, 8], np.float32)
    small[:, 1:4, 2:5] = patch
    large = 7.0 * np.tile(patch, [1, 3, 3, 1])
    pool = CrossDimensionalPooling()
    np.testing.assert_allclose(pool(small), pool(large), rtol=1e-5)


def test_zeros_give_zeros_and_a_finite_gradient():
    features = tf.zeros([1, 4, 4, 3])
    with tf.GradientTape() as tape:
        tape.watch(features)
        pooled = CrossDimensionalPooling()(features)
    np.testing.assert_array_equal(pooled, [[0.0, 0.0, 0.0]])
    np.testing.assert_array_equal(tape.gradient(pooled, features), np.zeros([1, 4, 4, 3]))


def test_it_computes_in_float32_under_mixed_precision():
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        layer = CrossDimensionalPooling()
    finally:
        keras.mixed_precision.set_global_policy(before)
    inputs = keras.Input((4, 4, 3), dtype="float16")
    assert layer(inputs).dtype == "float32" and layer(inputs).shape == (None, 3)
    pooled = layer(tf.fill([1, 14, 14, 3], tf.constant(9e3, tf.float16)))  # the sum of squares exceeds float16
    assert pooled.dtype == tf.float32
    np.testing.assert_allclose(np.linalg.norm(pooled), 50.0, rtol=1e-5)
    assert type(layer).from_config(layer.get_config()).dtype == "float32"


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
def test_tflite_computes_the_same_with_its_own_operations():
    features = np.random.RandomState(1).rand(1, 4, 4, 8).astype(np.float32)
    layer = CrossDimensionalPooling()
    call = tf.function(layer, input_signature=[tf.TensorSpec([1, 4, 4, 8], tf.float32)])
    content = tf.lite.TFLiteConverter.from_concrete_functions([call.get_concrete_function()], layer).convert()
    model = tf.lite.Interpreter(model_content=content)
    model.allocate_tensors()
    model.set_tensor(model.get_input_details()[0]["index"], features)
    model.invoke()
    found = model.get_tensor(model.get_output_details()[0]["index"])
    np.testing.assert_allclose(found, layer(features), rtol=1e-5)
