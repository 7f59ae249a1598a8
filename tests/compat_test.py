import tensorflow as tf

from ornet_tf.compat import keras, tf_variable, variable_path


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
