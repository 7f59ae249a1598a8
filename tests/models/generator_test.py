import numpy as np
import pytest
import tensorflow as tf

from ornet_tf.compat import keras
from ornet_tf.errors import UserError
from ornet_tf.models import generator
from ornet_tf.models.variables import named_variables


def build(**options):
    return generator.build((16, 24, 5), **{"num_classes": 7, "base_width": 4, "depth": 2, **options})


def test_outputs_have_the_shapes_of_equations_2_to_4():
    outputs = build()(tf.random.stateless_normal([2, 16, 24, 5], [1, 2]))
    assert outputs["activation_map"].shape == (2, 16, 24, 1)
    assert outputs["class_maps"].shape == (2, 16, 24, 7)
    assert outputs["logits"].shape == (2, 7)
    assert 0 < np.min(outputs["activation_map"]) < np.max(outputs["activation_map"]) < 1


@pytest.mark.parametrize("last_shape", [(16, 24, 3), (8, 12, 3), (4, 6, 3)])
def test_last_features_of_any_levels_resolution_change_the_map(last_shape):
    model = build(last_shape=last_shape)
    features = tf.random.stateless_normal([2, 16, 24, 5], [1, 2])
    last = tf.random.stateless_normal([2, *last_shape], [3, 4])
    maps = model([features, last])["activation_map"]
    assert maps.shape == (2, 16, 24, 1)
    assert np.abs(maps - model([features, -last])["activation_map"]).max() > 1e-3
    np.testing.assert_array_equal(generator.map_part(model)([features, last]), maps)


def test_last_features_of_a_resolution_without_a_level_are_refused():
    with pytest.raises(UserError, match="expected a level of 2x3, .* got 16x24, 8x12, 4x6; choose a larger depth"):
        build(last_shape=(2, 3, 7))


def test_the_map_is_the_sigmoid_of_the_normalized_convolution_of_the_class_maps():
    model = build(logit_scale=3.0)
    outputs = model(tf.random.stateless_normal([2, 16, 24, 5], [1, 2]))
    kernel = model.get_layer("map_conv").get_weights()[0].astype(np.float64)
    class_maps = np.pad(outputs["class_maps"].numpy().astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    score = sum(
        class_maps[:, i : i + 16, j : j + 24] @ kernel[i, j] for i in range(3) for j in range(3)
    )
    expected = 1 / (1 + np.exp(-3.0 * score / np.sqrt(1 + 1e-5)))  # fresh statistics: mean 0, variance 1
    np.testing.assert_allclose(outputs["activation_map"], expected, atol=1e-5)


def test_the_auxiliary_logits_are_the_mean_of_a_1x1_convolution():
    model = build()
    outputs = model(tf.random.stateless_normal([2, 16, 24, 5], [1, 2]))
    kernel, bias = model.get_layer("auxiliary_conv").get_weights()
    expected = outputs["class_maps"].numpy().mean(axis=(1, 2)) @ kernel[0, 0] + bias
    np.testing.assert_allclose(outputs["logits"], expected, atol=1e-5)


def test_values_and_gradients_of_the_heads_are_those_of_the_papers_form():
    """The paper computes all k class maps, a 3x3 convolution of them, and the mean of a 1x1 convolution."""
    x = tf.random.stateless_normal([2, 6, 9, 5], [1, 2])
    inputs = keras.Input((6, 9, 5))
    heads = keras.Model(inputs, generator._heads(inputs, 7, 1.5))
    for number, weight in enumerate(heads.trainable_weights):  # including biases and gains, which start at 0 and 1
        weight.assign(tf.random.stateless_normal(weight.shape, [number, 3]))
    weights = {path: tf.constant(np.asarray(v)) for path, v in named_variables({"heads": heads}).items()}
    statistics = {"mean": tf.zeros([1]), "variance": tf.ones([1])}

    def direct(x, w):
        maps = tf.nn.conv2d(x, w["heads/class_maps/kernel"], 1, "SAME") + w["heads/class_maps/bias"]
        score = tf.nn.conv2d(maps, w["heads/map_conv/kernel"], 1, "SAME")
        score = tf.nn.batch_normalization(
            score, offset=w["heads/map_norm/beta"], scale=w["heads/map_norm/gamma"], variance_epsilon=1e-5, **statistics
        )
        logits = tf.nn.conv2d(maps, w["heads/auxiliary_conv/kernel"], 1, "SAME") + w["heads/auxiliary_conv/bias"]
        return tf.sigmoid(1.5 * score), maps, tf.reduce_mean(logits, axis=(1, 2))

    def goal(outputs):
        return sum(tf.reduce_sum(tf.sin(3.0 * output)) for output in outputs)

    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, weights])
        expected = direct(x, weights)
        expected_goal = goal(expected)
        actual = heads(x, training=False)
        actual_goal = goal(actual)
    for one, other in zip(actual, expected):
        np.testing.assert_allclose(one, other, atol=2e-5, rtol=1e-5)
    variables = named_variables({"heads": heads})
    assert set(variables) == set(weights)
    gradients = tape.gradient(actual_goal, [x, *variables.values()])
    for name, one, other in zip(["x", *variables], gradients, tape.gradient(expected_goal, [x, *weights.values()])):
        np.testing.assert_allclose(one, other, atol=2e-3, rtol=1e-4, err_msg=name)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_the_heads_compute_in_float32_under_any_policy(precision):
    def heads():
        inputs = keras.Input((6, 9, 5), dtype=precision)
        return keras.Model(inputs, generator._heads(inputs, 7, 1.5))

    single = heads()
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(f"mixed_{precision}")
    try:
        mixed = heads()
    finally:
        keras.mixed_precision.set_global_policy(before)
    mixed.set_weights(single.get_weights())
    x = tf.cast(tf.random.stateless_normal([2, 6, 9, 5], [1, 2]), precision)
    for one, other in zip(mixed(x), single(x)):
        assert one.dtype == tf.float32
        np.testing.assert_array_equal(one, other)


def test_class_maps_are_not_computed_unless_they_are_an_output():
    model = generator.build((16, 16, 5), num_classes=300, base_width=4, depth=2)

    @tf.function
    def map_and_logits(features):
        outputs = model(features, training=False)
        return outputs["activation_map"], outputs["logits"]

    concrete = map_and_logits.get_concrete_function(tf.TensorSpec([2, 16, 16, 5]))
    pruned = tf.compat.v1.graph_util.extract_sub_graph(
        concrete.graph.as_graph_def(), [output.op.name for output in concrete.outputs]
    )
    kept = [concrete.graph.get_tensor_by_name(f"{node.name}:0") for node in pruned.node if node.op == "Conv2D"]
    assert kept
    assert not [tensor for tensor in kept if tensor.shape[-1] == 300 and tensor.shape[1] != 1]


@pytest.mark.parametrize("base_width", [4, 8])
def test_the_base_width_sets_the_channels_of_every_level(base_width):
    model = build(base_width=base_width)
    widths = [model.get_layer(f"down{level}_2_conv").filters for level in range(3)]
    assert widths == [base_width, 2 * base_width, 4 * base_width]


def test_features_that_cannot_be_halved_often_enough_are_refused():
    with pytest.raises(ValueError, match="generator.depth: .*16x24.* 4 times"):
        build(depth=4)
