import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import registry
from ornet_tf.compat import tf_variable
from ornet_tf.maps.rescale import rescale
from tests.tiny_methods import BUILDERS, batch, images

build = registry.find("methods", "acol")


@pytest.fixture(scope="module", name="method")
def _method():
    return build(BUILDERS, delta=0.5, width=8)


def maps_of_classes(maps, classes):
    chosen = np.stack([one[:, :, label] for one, label in zip(maps.numpy(), classes)])
    return rescale(tf.constant(chosen[..., None])).numpy()


@pytest.mark.parametrize("labelled", [True, False])
def test_b_gets_the_features_without_as_region_and_the_map_is_the_maximum_of_both(method, labelled):
    parts = method.parts
    features = parts["upper"](parts["lower"](images() / 64.0 - 2.0))
    maps_a = parts["classifier_a"](features)
    logits = maps_a.numpy().mean(axis=(1, 2))
    classes = [0, 1, 2, 0] if labelled else logits.argmax(axis=1)
    map_a = maps_of_classes(maps_a, classes)
    kept = map_a <= 0.5
    assert 0 < kept.mean() < 1
    maps_b = parts["classifier_b"](features * np.float32(kept))
    joint = np.maximum(map_a, maps_of_classes(maps_b, classes))
    expected = {
        "logits": logits,
        "erased_logits": maps_b.numpy().mean(axis=(1, 2)),
        "activation_map": rescale(tf.image.resize(joint, parts["lower"].output_shape[1:3])),
    }
    given = batch() if labelled else {"image": images()}
    outputs = method.forward(given, training=False)
    assert set(outputs) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(outputs[name], value, rtol=5e-6, atol=5e-7, err_msg=name)
    if not labelled:
        predicted = method.predict(images())
        for name in ("activation_map", "logits"):
            np.testing.assert_allclose(predicted[name], expected[name], rtol=5e-6, atol=5e-7, err_msg=name)


def test_the_untrained_classifiers_are_undecided_even_for_large_features(method):
    outputs = method.forward({"image": images() * 10.0}, training=False)
    untrained = tf.math.log(3.0)  # of three classes
    for name in ("logits", "erased_logits"):
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits([0, 1, 2, 0], outputs[name])
        # With Keras's default initial weights the difference is 1.7 to 52 for 40 seeds, with these at most 0.07.
        np.testing.assert_allclose(loss, untrained, atol=0.1)


def test_the_choice_of_erased_pixels_gets_no_gradient(method):
    classifiers = ("classifier_a", "classifier_b")
    variables = {name: list(map(tf_variable, method.parts[name].trainable_variables)) for name in classifiers}
    with tf.GradientTape() as tape:
        erased = method.forward(batch(), training=True)["erased_logits"]
    gradients = tape.gradient(erased, variables)
    assert all(gradient is None for gradient in gradients["classifier_a"])
    assert all(gradient is not None for gradient in gradients["classifier_b"])


def test_each_classifier_has_two_3x3_convolutions_and_a_1x1_convolution(method):
    for name in ("classifier_a", "classifier_b"):
        kernels = [tuple(w.shape) for w in method.parts[name].trainable_variables if len(w.shape) == 4]
        assert kernels == [(3, 3, 6, 8), (3, 3, 8, 8), (1, 1, 8, 3)]
    assert not [path for path in method.trainable_variables if "predictions" in path]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"delta": -0.1}, "delta: expected 0..1, got -0.1"), ({"width": 0}, "width: expected at least 1 filter, got 0")],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build(BUILDERS, **options)
