import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import randomness, registry
from tests.tiny_methods import BUILDERS, batch, images

build = registry.find("methods", "hide_and_seek")


def keys(count):
    return randomness.key(5, tf.constant(0, tf.int64), tf.range(count, dtype=tf.int64))


def visible_pixels(method, example_keys):
    return tf.function(method._visible_pixels)(example_keys, 16, 16).numpy()


@pytest.mark.parametrize(("size", "hide_probability"), [(4, 0.5), (4, 0.2), (6, 0.5), (40, 0.5)])
def test_each_patch_is_hidden_as_a_whole_with_the_given_probability(size, hide_probability):
    method = build(BUILDERS, patch_sizes=(size,), hide_probability=hide_probability)
    shown = visible_pixels(method, keys(1000))
    assert shown.shape == (1000, 16, 16, 1) and set(np.unique(shown)) == {0.0, 1.0}
    corners = shown[:, ::size, ::size, 0]  # of 6 pixels the third patch of a row is cut off
    np.testing.assert_array_equal(shown[..., 0], corners.repeat(size, 1).repeat(size, 2)[:, :16, :16])
    tolerance = 4.0 * np.sqrt(hide_probability * (1.0 - hide_probability) / corners.size)
    assert abs((1.0 - corners).mean() - hide_probability) < tolerance
    if corners.shape[1] > 1:
        assert abs(np.corrcoef(corners[:, 0, 0], corners[:, 0, 1])[0, 1]) < 4.0 / np.sqrt(1000)


def test_all_sizes_are_equally_likely_and_0_hides_nothing():
    method = build(BUILDERS, patch_sizes=(0, 16, 1), hide_probability=0.5)
    shares = visible_pixels(method, keys(3000)).mean(axis=(1, 2, 3))
    mixed = (shares > 0) & (shares < 1)  # patches of one pixel; a patch of 16 hides half of its third
    assert abs(mixed.mean() - 1 / 3) < 0.04
    assert abs((shares == 0).mean() - 1 / 6) < 0.03
    assert abs((shares == 1).mean() - 1 / 2) < 0.04


def test_hidden_patches_depend_on_the_key_only():
    method = build(BUILDERS, patch_sizes=(0, 3, 5))
    together = visible_pixels(method, keys(12))
    np.testing.assert_array_equal(visible_pixels(method, keys(12)[4:7]), together[4:7])
    next_epoch = randomness.key(5, tf.constant(1, tf.int64), tf.range(12, dtype=tf.int64))
    assert (visible_pixels(method, next_epoch) != together).any()


def test_hidden_patches_have_the_mean_colour_and_inference_hides_nothing():
    method = build(BUILDERS, patch_sizes=(4,))
    plain = registry.find("methods", "cam")(BUILDERS)
    for part, source in zip(plain.parts.values(), method.parts.values()):
        part.set_weights(source.get_weights())
    shown = method._visible_pixels(batch()["key"], 16, 16)
    assert 0 < shown.numpy().mean() < 1
    grey = images() * shown + 128.0 * (1.0 - shown)  # 128 is 0 after this backbone's normalization
    hidden = method.forward(batch(), training=False)
    np.testing.assert_allclose(hidden["logits"], plain.predict(grey)["logits"], atol=1e-5)
    for name, value in plain.predict(images()).items():
        np.testing.assert_allclose(method.predict(images())[name], value, atol=1e-5)
        np.testing.assert_allclose(method.forward({"image": images()}, training=False)[name], value, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch_sizes": ()}, "patch_sizes: expected sides in whole pixels .*got \\(\\)"),
        ({"patch_sizes": (4, -1)}, "patch_sizes: expected sides in whole pixels"),
        ({"patch_sizes": (4.5,)}, "patch_sizes: expected sides in whole pixels"),
        ({"hide_probability": 1.5}, "hide_probability: expected 0..1, got 1.5"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build(BUILDERS, **options)
