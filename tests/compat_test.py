import numpy as np
import tensorflow as tf

from ornet_tf.compat import SummedAdam, keras, tf_variable, variable_path


def test_variables_are_named_by_layer_and_kind_on_both_stacks():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(2, name="head")(inputs))
    assert [variable_path(v).split("/")[-2:] for v in model.weights] == [["head", "kernel"], ["head", "bias"]]


def test_tf_variable_returns_the_layer_s_own_variable_on_both_stacks():
    layer = keras.layers.Dense(2)
    layer.build((None, 3))
    variable = tf_variable(layer.kernel)
    assert isinstance(variable, tf.Variable)
    variable.assign(tf.fill([3, 2], 7.0))
    assert tf.reduce_all(tf.convert_to_tensor(layer.kernel) == 7.0)


def test_adam_in_one_operation_is_the_adam_of_keras():
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 5)
    weights = [[tf.Variable([1.0, -2.0]), tf.Variable([[0.5]])] for _ in range(2)]
    optimizers = [SummedAdam(schedule), keras.optimizers.Adam(schedule)]
    for optimizer, variables in zip(optimizers, weights):
        optimizer.build(variables)
        for step in range(4):
            gradients = [tf.constant([0.3 * step - 0.5, 1e-4]), tf.constant([[2.0 - step]])]
            optimizer.apply_gradients(list(zip(gradients, variables)))
    for actual, expected in zip(*weights):
        assert np.abs(expected - tf.ones_like(expected)).max() > 0.1
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-7)
    for actual, expected in zip(*(optimizer.variables for optimizer in optimizers)):
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-7)
