import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import assemble, localizer, mirrored, provenance
from ornet_tf.methods import predict_known


@pytest.fixture(scope="module")
def experiment(tiny_run):
    config = tiny_run[0].copy_and_resolve_references()
    config.evaluation.mirrored = True
    return config


def images():
    return tf.random.stateless_uniform([3, 32, 32, 3], [1, 2], 0, 255)


def means(predict):
    whole, of_mirror = predict(images()), predict(images()[:, :, ::-1])
    return {
        "activation_map": (whole["activation_map"] + of_mirror["activation_map"][:, :, ::-1]) / 2,
        "logits": (whole["logits"] + of_mirror["logits"]) / 2,
    }


def test_predictions_are_means_over_a_picture_and_its_mirror_image(tiny_run, experiment):
    of_mirrored = assemble.trained_method(experiment, "stage_two", tiny_run[1], 3)
    plain = assemble.trained_method(tiny_run[0], "stage_two", tiny_run[1], 3)
    outputs = of_mirrored.predict(images())
    for name, expected in means(plain.predict).items():
        np.testing.assert_allclose(outputs[name], expected, atol=1e-5)
        assert np.abs(outputs[name] - plain.predict(images())[name]).max() > 1e-3
    turned = of_mirrored.predict(images()[:, :, ::-1])
    np.testing.assert_allclose(turned["activation_map"][:, :, ::-1], outputs["activation_map"], atol=1e-5)


def test_the_label_is_that_of_both(tiny_run, experiment):
    plain = assemble.trained_method(tiny_run[0], "cam_true_label", tiny_run[1], 3)
    labels = tf.constant([2, 0, 1])
    outputs = predict_known(mirrored.Mirrored(plain), images(), labels)
    for name, expected in means(lambda pictures: plain.predict_for(pictures, labels)).items():
        np.testing.assert_allclose(outputs[name], expected, atol=1e-5)


def test_what_is_exported_does_the_same_and_says_so(tiny_run, experiment):
    assert provenance.of_run(experiment, tiny_run[1])["mirrored"] is True
    pixels = tf.cast(images(), tf.uint8)
    exported = localizer.load(experiment, tiny_run[1])
    maps = exported.localize_pixels(pixels)["activation_map"].numpy()
    turned = exported.localize_pixels(pixels[:, :, ::-1])["activation_map"].numpy()
    np.testing.assert_allclose(turned[:, :, ::-1], maps, atol=0.01)  # pixels are rounded after resizing
    plain = localizer.load(tiny_run[0], tiny_run[1])
    one, other = (plain.localize_pixels(p)["activation_map"].numpy() for p in (pixels, pixels[:, :, ::-1]))
    assert np.abs(other[:, :, ::-1] - one).max() > 0.02
