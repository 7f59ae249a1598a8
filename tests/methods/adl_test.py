import functools

import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import randomness, registry
from ornet_tf.methods import adl
from tests.tiny_methods import BUILDERS, batch, images

build = registry.find("methods", "adl")


def keys(count):
    return randomness.key(5, tf.constant(0, tf.int64), tf.range(count, dtype=tf.int64))


def features(count):
    return tf.constant(np.random.default_rng(1).uniform(0, 2, [count, 5, 4, 3]), tf.float32)


def dropped(values, example_keys, *, name="adl", **options):
    layer = adl.AttentionBasedDropout(**options, name=name)

    @tf.function
    def run(values, example_keys):
        with randomness.examples(example_keys):
            return layer(values, training=True)

    return run(values, example_keys).numpy()


def test_the_drop_mask_is_0_where_the_channel_mean_is_above_gamma_times_its_maximum():
    values = features(6)
    attention = values.numpy().mean(axis=3, keepdims=True)
    mask = attention <= 0.7 * attention.max(axis=(1, 2, 3), keepdims=True)
    assert 0 < mask.mean() < 1
    np.testing.assert_array_equal(dropped(values, keys(6), drop_rate=1.0, gamma=0.7), values.numpy() * mask)


def test_the_importance_map_is_the_sigmoid_of_the_channel_mean():
    values = features(6)
    importance = 1.0 / (1.0 + np.exp(-values.numpy().mean(axis=3, keepdims=True)))
    np.testing.assert_allclose(dropped(values, keys(6), drop_rate=0.0, gamma=0.7), values * importance, rtol=1e-5)


def test_the_drop_mask_has_its_rate_and_depends_on_each_examples_key():
    values = features(1) * tf.ones([1000, 1, 1, 1])
    all_masked = dropped(values, keys(1000), drop_rate=1.0, gamma=0.7)
    outputs = dropped(values, keys(1000), drop_rate=0.75, gamma=0.7)
    masked = (outputs == all_masked).all(axis=(1, 2, 3))
    assert abs(masked.mean() - 0.75) < 4.0 * np.sqrt(0.75 * 0.25 / 1000)
    part = dropped(values[:9], keys(1000)[40:49], drop_rate=0.75, gamma=0.7)
    np.testing.assert_allclose(part, outputs[40:49], rtol=1e-6)
    other = dropped(values, keys(1000), name="another", drop_rate=0.75, gamma=0.7)
    assert ((other == all_masked).all(axis=(1, 2, 3)) != masked).any()  # each layer draws its own choice


def test_features_of_zeros_stay_zero():
    assert not dropped(tf.zeros([2, 3, 3, 4]), keys(2), drop_rate=1.0, gamma=0.5).any()


def test_nothing_is_dropped_in_inference_and_training_needs_keys():
    values, layer = features(2), adl.AttentionBasedDropout(1.0, 0.5, name="adl")
    np.testing.assert_array_equal(layer(values, training=False), values)
    with pytest.raises(ValueError, match="adl: .* inside `randomness.examples"):
        layer(values, training=True)


def test_the_default_layers_for_vgg16_are_the_papers():
    vgg16 = functools.partial(
        registry.find("backbones", "vgg16"), image_size=32, num_classes=3, weights=None, split="block2_pool"
    )
    method = build(BUILDERS._replace(backbone=vgg16))
    names = [layer.name for layer in method._upper_with_dropout.layers if layer.name.endswith("_adl")]
    assert names == ["block3_pool_adl", "block4_pool_adl", "block5_conv3_adl"]
    assert not [layer.name for layer in method._lower_with_dropout.layers if layer.name.endswith("_adl")]


def test_layers_of_both_parts_can_be_chosen_and_others_are_refused():
    method = build(BUILDERS, after=("block1_pool", "block3_1_relu"))
    assert method._lower_with_dropout.get_layer("block1_pool_adl")
    assert method._upper_with_dropout.get_layer("block3_1_relu_adl")
    for name in ("block9_pool", "gap"):
        with pytest.raises(ValueError, match=f"after: expected .* got '{name}'; choose from block1_1"):
            build(BUILDERS, after=(name,))


def test_dropout_acts_in_training_only_and_shares_the_classifiers_weights():
    method = build(BUILDERS, drop_rate=1.0, gamma=0.3)
    plain = method.parts["upper"](method.parts["lower"](images() / 64.0 - 2.0))
    np.testing.assert_allclose(method.predict(images())["logits"], plain["logits"], atol=1e-5)
    np.testing.assert_allclose(method.forward(batch(), training=False)["logits"], plain["logits"], atol=1e-5)
    plain = method.parts["upper"](method.parts["lower"](images() / 64.0 - 2.0, training=True), training=True)
    expected = dropped(plain["features"], batch()["key"], drop_rate=1.0, gamma=0.3).mean(axis=(1, 2))
    kernel, bias = method.parts["upper"].get_layer("predictions").get_weights()
    np.testing.assert_allclose(method.forward(batch(), training=True)["logits"], expected @ kernel + bias, atol=1e-4)


def test_forward_restores_the_keys_of_an_outer_context():
    with randomness.examples(keys(3)):
        build(BUILDERS).forward(batch(), training=True)
        np.testing.assert_array_equal(randomness.keys_of_examples(), keys(3))
    assert randomness.keys_of_examples() is None


@pytest.mark.parametrize("name", ["drop_rate", "gamma"])
def test_wrong_options_are_refused(name):
    with pytest.raises(ValueError, match=f"{name}: expected 0..1, got 1.5"):
        build(BUILDERS, **{name: 1.5})
