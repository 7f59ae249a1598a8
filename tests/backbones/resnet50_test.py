import numpy as np
import pytest
import tensorflow as tf

from ornet_tf.backbones import resnet50
from ornet_tf.compat import keras
from ornet_tf.errors import UserError
from ornet_tf.models import layers, shared_passes, winograd
from tests.backbones import keras_layout

OUTS = [
    "conv1_relu", "conv2_block1_out", "conv2_block3_out", "conv3_block1_out", "conv4_block6_out", "conv5_block3_out",
]


def build(image_size=64, num_classes=5, weights=None, **options):
    return resnet50.build(image_size=image_size, num_classes=num_classes, weights=weights, **options)


def images(count=2, size=64):
    return tf.random.stateless_uniform([count, size, size, 3], [1, 2], 0.0, 255.0)


@pytest.fixture(scope="module", name="reference")
def _reference():
    """Keras's model without the dense layer, with random weights."""
    model = keras.applications.ResNet50(include_top=False, weights=None, input_shape=(64, 64, 3))
    keras_layout.randomize(model)
    return model


@pytest.fixture(scope="module", name="file")
def _file(reference, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("resnet50") / "notop.h5")
    keras_layout.write(reference, path)
    return path


@pytest.fixture(scope="module", name="loaded")
def _loaded(file):
    return build(weights=file)


def keras_pixels(size=64):
    return keras.applications.resnet50.preprocess_input(images(size=size).numpy())


def assert_close(actual, expected, limit=1e-5):
    np.testing.assert_allclose(actual, expected, atol=limit * np.abs(expected).max())


def test_it_computes_what_keras_applications_computes(loaded, reference):
    expected = keras.Model(reference.input, [reference.get_layer(name).output for name in OUTS])(keras_pixels())
    normalized = loaded.normalize(images())
    low_level = loaded.lower(normalized)
    lower_names = {layer.name for layer in loaded.lower.layers}
    for name, wanted in zip(OUTS, expected):
        part, inputs = (loaded.lower, normalized) if name in lower_names else (loaded.upper, low_level)
        actual = keras.Model(part.inputs, part.get_layer(name).output)(inputs)
        assert wanted.numpy().std() > 0.01
        assert_close(actual, wanted)
    np.testing.assert_array_equal(loaded.upper(low_level)["features"], actual)
    names = {layer.name for part in (loaded.lower, loaded.upper) for layer in part.layers if layer.weights}
    assert loaded.pretrained == names - {"predictions"}
    assert not np.any(loaded.upper.get_layer("predictions").kernel)  # the file has no weights for it


def test_in_training_it_computes_what_keras_applications_computes(file, reference):
    before, trained = reference.get_weights(), build(weights=file)
    expected = reference(keras_pixels(), training=True)
    low_level = trained.lower(trained.normalize(images()), training=True)
    assert_close(trained.upper(low_level, training=True)["features"], expected, 1e-3)
    for part, name in ((trained.lower, "conv1_bn"), (trained.lower, "conv2_block1_0_bn"),
                       (trained.upper, "conv3_block1_1_bn")):
        assert_close(part.get_layer(name).moving_mean, np.asarray(reference.get_layer(name).moving_mean), 1e-4)
    assert not np.array_equal(before[4], reference.get_weights()[4])  # conv1's moving mean
    reference.set_weights(before)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("split", "shape"),
    [("conv3_block2_out", (8, 8, 512)), ("conv5_block2_out", (2, 2, 2048))],
)
def test_any_split_computes_the_same(loaded, file, split, shape):
    backbone = build(weights=file, split=split)
    assert backbone.lower.output_shape[1:] == shape
    assert backbone.lower.layers[-1].name == split
    expected, actual = (b.upper(b.lower(b.normalize(images())))["features"] for b in (loaded, backbone))
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


@pytest.mark.slow
def test_the_file_with_the_dense_layer_gives_the_logits_of_1000_classes(tmp_path):
    reference = keras.applications.ResNet50(weights=None, classifier_activation=None)
    keras_layout.randomize(reference)
    path = str(tmp_path / "top.h5")
    keras_layout.write(reference, path)
    backbone = build(image_size=224, num_classes=1000, weights=path)
    assert "predictions" in backbone.pretrained
    expected = reference(keras_pixels(224), training=False)
    assert_close(backbone.upper(backbone.lower(backbone.normalize(images(size=224))))["logits"], expected.numpy())
    other = build(num_classes=7, weights=path)
    assert other.pretrained == backbone.pretrained - {"predictions"}


@pytest.mark.slow
@pytest.mark.parametrize(("output_stride", "side"), [(16, 4), (8, 8)])
def test_the_output_stride_decides_the_size_of_the_last_maps(loaded, output_stride, side):
    backbone = build(output_stride=output_stride)
    assert backbone.upper.output["features"].shape[1:] == (side, side, 2048)
    shapes = [[w.shape for w in b.upper.weights] for b in (backbone, loaded)]
    assert shapes[0] == shapes[1]


def test_wrong_options_are_refused():
    with pytest.raises(UserError, match="output_stride: expected one of 32, 16, 8, got 4"):
        build(output_stride=4)
    for split in ("conv2_block2_out", "conv5_block3_out"):  # nothing would be left for the upper part
        with pytest.raises(UserError, match="split: expected one of conv2_block3_out, .* conv5_block2_out, got"):
            build(split=split)


def test_the_weights_of_another_model_are_refused(tmp_path):
    path = str(tmp_path / "vgg16.h5")
    keras_layout.write(keras.applications.VGG16(include_top=False, weights=None), path)
    with pytest.raises(UserError, match="weights: .*vgg16.h5 has no weights of ResNet50 in the layout of Keras"):
        build(weights=path)


def test_frozen_convolutions_use_winograd(file, monkeypatch):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [])
    monkeypatch.setattr(winograd, "MIN_TILES", 16)
    calls, convolve = [], winograd.convolve
    monkeypatch.setattr(winograd, "convolve", lambda *a: calls.append(1) or convolve(*a))
    backbone = build(weights=file)
    normalized = backbone.normalize(images(4))
    low_level = backbone.lower(normalized)
    expected = backbone.upper(low_level)["features"].numpy()
    for part in (backbone.lower, backbone.upper):
        part.trainable = False
        layers.freeze_untrained(part, [])
    with winograd.enable():
        assert_close(backbone.lower(normalized), low_level.numpy())
        assert not calls
        assert_close(backbone.upper(low_level, training=True)["features"], expected)
    assert len(calls) == 4  # the maps of conv4 and conv5 are too small here


def test_frozen_normalization_lets_frozen_blocks_be_cached(file):
    backbone = build(weights=file, freeze_norm=True)
    upper = backbone.upper
    assert not [v for part in (backbone.lower, upper) for v in part.trainable_weights if "bn" in str(v.name)]
    low_level = backbone.lower(backbone.normalize(images()), training=True)
    expected = upper(low_level, training=False)
    layers.freeze_untrained(upper, [v for x in upper.layers if x.name.startswith(("conv5", "pred")) for v in x.weights])
    frozen, head = layers.split_behind_frozen(upper, upper.output)
    assert frozen.layers[-1].name == "conv4_block6_out"
    assert_close(head(frozen(low_level), training=True)["features"], expected["features"].numpy())
    layers.freeze_untrained(upper, upper.get_layer("predictions").weights)
    frozen, head = layers.split_behind_frozen(upper, upper.output["logits"])
    assert [layer.name for layer in head.layers if layer.weights] == ["predictions"]
    assert_close(head(frozen(low_level), training=True), expected["logits"].numpy())


def test_normalization_that_follows_batches_is_not_cached(loaded):
    layers.freeze_untrained(loaded.upper, loaded.upper.get_layer("predictions").weights)
    assert layers.split_behind_frozen(loaded.upper, loaded.upper.output) is None


@pytest.mark.slow
def test_equal_parts_share_their_passes(loaded):
    first, second, inputs = loaded.lower, build().lower, images()
    second.set_weights(first.get_weights())
    with shared_passes.SharedPasses().enable():
        assert shared_passes.call(first, inputs) is shared_passes.call(second, inputs)
