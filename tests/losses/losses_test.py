"""All losses follow the contract of losses; each formula is compared with an independent float64 computation."""
import inspect

import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import registry
from ornet_tf.errors import UserError
from ornet_tf.losses import area, cross_entropy, entropy, weighted_entropy
from tests.losses.loss_inputs import TINY, extreme, inputs, ordinary, slopes, values_and_gradients

LOSSES = registry.choices("losses")


@pytest.mark.parametrize("name", LOSSES)
def test_tensors_are_positional_and_options_are_keywords_with_defaults(name):
    for parameter in inspect.signature(registry.find("losses", name)).parameters.values():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            assert parameter.default is not inspect.Parameter.empty, parameter
        else:
            assert parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD, parameter
            assert parameter.default is inspect.Parameter.empty, parameter


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_is_one_float32_per_example_independent_of_the_others(name):
    loss, tensors = registry.find("losses", name), inputs(name)
    values = loss(*tensors)
    assert values.dtype == tf.float32 and values.shape == [4]
    for i in range(4):
        alone = loss(*[tensor[i : i + 1] for tensor in tensors])
        np.testing.assert_allclose(alone, values[i : i + 1], rtol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("make", [ordinary, extreme])
def test_a_graph_of_unknown_sizes_gives_the_same_values_without_state(name, make):
    loss, tensors = registry.find("losses", name), inputs(name, make)
    signature = [tf.TensorSpec([None] * tensor.shape.rank, tensor.dtype) for tensor in tensors]
    concrete = tf.function(loss, input_signature=signature).get_concrete_function()
    np.testing.assert_allclose(concrete(*tensors), loss(*tensors), rtol=1e-6, atol=1e-7)
    assert not concrete.variables
    assert not [op.type for op in concrete.graph.get_operations() if op.op_def.is_stateful]


@pytest.mark.parametrize("name", LOSSES)
def test_extreme_inputs_give_finite_values_and_gradients(name):
    values, gradients = values_and_gradients(registry.find("losses", name), inputs(name, extreme))
    assert np.isfinite(values).all()
    for gradient in gradients:
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float16])
def test_losses_are_computed_in_float32(name, dtype):
    loss = registry.find("losses", name)
    low = [tf.cast(t, dtype) if t.dtype.is_floating else t for t in inputs(name)]
    values = loss(*low)
    assert values.dtype == tf.float32
    np.testing.assert_array_equal(values, loss(*[tf.cast(t, tf.float32) if t.dtype.is_floating else t for t in low]))


@pytest.mark.parametrize("name", LOSSES)
def test_a_nan_affects_only_its_own_example(name):
    tensors = [tensor.numpy() for tensor in inputs(name)]
    for tensor in tensors:
        if tensor.dtype == np.float32:
            tensor[(2,) + (0,) * (tensor.ndim - 1)] = np.nan
    values = registry.find("losses", name)(*[tf.constant(tensor) for tensor in tensors])
    assert np.isnan(values).tolist() == [False, False, True, False]


def reference_entropy(pixels, mu=None, sigma=None):
    """Returns Eq. 12, or Eq. 14 where mu and sigma are given, of each float64 pixel."""
    log = np.log(np.where(pixels > 0.0, pixels, 1.0)), np.log(np.where(pixels < 1.0, 1.0 - pixels, 1.0))
    value = -pixels * log[0] - (1.0 - pixels) * log[1]
    return value if mu is None else value * np.exp(-((pixels - mu) ** 2) / (2.0 * sigma**2))


def reference_cross_entropy(logits, label, smoothing):
    probabilities = np.exp(logits) / np.exp(logits).sum()
    target = np.full(len(logits), smoothing / len(logits))
    target[label] += 1.0 - smoothing
    return -(target * np.log(probabilities)).sum()


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
def test_cross_entropy_is_equations_5_and_6(smoothing):
    logits, labels = inputs("cross_entropy")
    values, [gradient] = values_and_gradients(cross_entropy.loss, [logits, labels], label_smoothing=smoothing)
    for i in range(4):
        row = logits[i].numpy().astype(np.float64)
        np.testing.assert_allclose(values[i], reference_cross_entropy(row, labels[i], smoothing), rtol=1e-5)
        expected = slopes(lambda x, i=i: reference_cross_entropy(x, labels[i], smoothing), row)
        np.testing.assert_allclose(gradient[i], expected, atol=1e-6)


MAP_LOSSES = [
    (entropy.loss, {}, lambda x: reference_entropy(x).mean()),
    (weighted_entropy.loss, {}, lambda x: reference_entropy(x, 0.5, 0.1).mean()),
    (weighted_entropy.loss, {"mu": 0.4, "sigma": 0.2}, lambda x: reference_entropy(x, 0.4, 0.2).mean()),
    (area.loss, {}, lambda x: x.mean()),
]


@pytest.mark.parametrize("loss, options, reference", MAP_LOSSES)
def test_map_losses_are_equations_13_15_and_16(loss, options, reference):
    [maps] = inputs("area")
    values, [gradient] = values_and_gradients(loss, [maps], **options)
    for i in range(4):
        pixels = maps[i].numpy().astype(np.float64).ravel()
        np.testing.assert_allclose(values[i], reference(pixels), rtol=1e-5)
        np.testing.assert_allclose(gradient[i].ravel(), slopes(reference, pixels), rtol=1e-4, atol=1e-7)


def test_the_gradient_includes_the_derivative_of_the_gaussian():
    _, [gradient] = values_and_gradients(weighted_entropy.loss, [tf.fill([1, 1, 1, 1], 0.4)])
    constant_weight = np.exp(-0.5) * np.log(0.6 / 0.4)
    derivative_of_weight = 0.1 / 0.1**2 * np.exp(-0.5) * reference_entropy(np.float64(0.4))
    np.testing.assert_allclose(gradient.ravel(), constant_weight + derivative_of_weight, rtol=1e-5)
    assert derivative_of_weight > 10.0 * constant_weight


def test_entropy_is_exact_at_0_and_1_and_its_slope_is_largest_there():
    pixels = np.array([0.0, 1e-30, TINY, 1e-6, 0.1, 0.5, 0.9, 1.0 - 1e-6, 1.0 - TINY, 1.0], np.float32)
    values, [gradient] = values_and_gradients(entropy.loss, [tf.reshape(pixels, [-1, 1, 1, 1])])
    np.testing.assert_allclose(values, reference_entropy(pixels.astype(np.float64)), rtol=2e-6, atol=1e-12)
    assert values[0] == values[-1] == 0.0
    inside = slice(2, -2)
    expected = np.log1p(-pixels[inside].astype(np.float64)) - np.log(pixels[inside].astype(np.float64))
    np.testing.assert_allclose(gradient.ravel()[inside], expected, rtol=1e-5, atol=1e-6)
    assert (np.diff(gradient.ravel()) <= 0.0).all()
    assert gradient[0] > 16.0 and gradient[-1] < -16.0 and np.abs(gradient).max() < 17.7


@pytest.mark.parametrize("sigma", [1e-20, 1e-4, 1e4])
def test_weighted_entropy_is_finite_for_any_sigma(sigma):
    values, [gradient] = values_and_gradients(weighted_entropy.loss, inputs("area", extreme), sigma=sigma)
    assert np.isfinite(values).all() and np.isfinite(gradient).all()
    np.testing.assert_allclose(values[3], np.log(2.0), rtol=1e-6)


@pytest.mark.parametrize(
    "name, options, error, message",
    [
        ("weighted_entropy", {"sigma": 0.0}, ValueError, "sigma must be positive"),
        ("weighted_entropy", {"sigma": -0.1}, ValueError, "sigma must be positive"),
        ("weighted_entropy", {"sigma": float("inf")}, ValueError, "sigma must be positive"),
        ("weighted_entropy", {"sigma": float("nan")}, ValueError, "sigma must be positive"),
        ("weighted_entropy", {"mu": 1.5}, ValueError, "mu must be .* got 1.5"),
        ("weighted_entropy", {"mu": "0.5"}, UserError, "mu must be a number, got '0.5'"),
        ("pseudo_mask_agreement", {"label_smoothing": 1.0}, ValueError, "label_smoothing must be .* got 1.0"),
        ("pseudo_mask_agreement", {"balance": 1.5}, UserError, "balance must lie in 0..1, got 1.5"),
        ("cross_entropy", {"label_smoothing": 1.0}, ValueError, "label_smoothing must be"),
        ("cross_entropy", {"label_smoothing": -0.1}, ValueError, "label_smoothing must be"),
        ("cross_entropy", {"label_smoothing": "0.1"}, UserError, "label_smoothing must be a number"),
    ],
)
def test_wrong_options_are_refused(name, options, error, message):
    with pytest.raises(error, match=message):
        registry.find("losses", name)(*inputs(name), **options)


@pytest.mark.parametrize("name", ["entropy", "weighted_entropy", "area"])
@pytest.mark.parametrize("shape", [[2, 3, 3], [2, 3, 3, 5]])
def test_other_shapes_than_one_map_per_example_are_refused(name, shape):
    with pytest.raises(ValueError, match=r"activation_map must have shape \[B, h, w, 1\]"):
        registry.find("losses", name)(tf.zeros(shape))


def test_cross_entropy_refuses_class_maps_and_one_hot_labels():
    with pytest.raises(ValueError, match=r"logits must have shape \[B, K\], got \(2, 4, 4, 3\)"):
        cross_entropy.loss(tf.zeros([2, 4, 4, 3]), tf.zeros([2], tf.int32))
    with pytest.raises(TypeError, match="labels must be integers"):
        cross_entropy.loss(tf.zeros([2, 3]), tf.one_hot([0, 1], 3))
