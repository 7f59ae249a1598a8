from ornet_tf.compat import keras, variable_path


def test_variables_are_named_by_layer_and_kind_on_both_stacks():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(2, name="head")(inputs))
    assert [variable_path(v).split("/")[-2:] for v in model.weights] == [["head", "kernel"], ["head", "bias"]]
