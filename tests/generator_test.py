import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import generator


def build(**options):
    return generator.build((16, 24, 5), **{"num_classes": 7, "base_width": 4, "depth": 2, **options})


def test_outputs_have_the_shapes_of_equations_2_to_4():
    outputs = build()(tf.random.stateless_normal([2, 16, 24, 5], [1, 2]))
    assert outputs["activation_map"].shape == (2, 16, 24, 1)
    assert outputs["class_maps"].shape == (2, 16, 24, 7)
    assert outputs["logits"].shape == (2, 7)
    assert 0 < np.min(outputs["activation_map"]) < np.max(outputs["activation_map"]) < 1


def test_the_map_is_the_sigmoid_of_the_normalised_convolution_of_the_class_maps():
    model = build(map_gain=3.0)
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


@pytest.mark.parametrize("base_width", [4, 8])
def test_the_base_width_sets_the_channels_of_every_level(base_width):
    model = build(base_width=base_width)
    widths = [model.get_layer(f"down{level}_2_conv").filters for level in range(3)]
    assert widths == [base_width, 2 * base_width, 4 * base_width]


def test_features_that_cannot_be_halved_that_often_are_an_error():
    with pytest.raises(ValueError, match="generator.depth: features of 16x24 can't be halved 4 times"):
        build(depth=4)
