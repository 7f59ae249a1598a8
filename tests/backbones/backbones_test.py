import os
import pathlib
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import registry
from ornet_tf.compat import keras
from ornet_tf.errors import UserError
from ornet_tf.models.pooling import CrossDimensionalPooling
from tests import source_tree
from tests.backbones import keras_layout

SMALL = {"image_size": 32, "num_classes": 5}
PRETRAINED = {"vgg16": "VGG16", "resnet50": "ResNet50"}


def build(name, **options):
    fixed = {"weights": None} if name in PRETRAINED else {}
    return registry.find("backbones", name)(**{**SMALL, **fixed, **options})


@pytest.mark.parametrize("name", registry.choices("backbones"))
def test_every_backbone_maps_pixels_to_features_and_logits(name):
    backbone = build(name)
    images = tf.random.stateless_uniform([2, 32, 32, 3], [1, 2], 0.0, 255.0)
    features = backbone.lower(backbone.normalize(images))
    outputs = backbone.upper(features)
    assert features.shape[1:] == backbone.lower.output_shape[1:]
    assert outputs["logits"].shape == (2, 5)
    assert len(outputs["features"].shape) == 4
    assert np.isfinite(outputs["logits"]).all()


@pytest.mark.parametrize("name", registry.choices("backbones"))
def test_an_unknown_split_is_refused(name):
    with pytest.raises(ValueError, match="split: expected one of .*block.*, .*'block9_pool'"):
        build(name, split="block9_pool")


@pytest.mark.parametrize("name", registry.choices("backbones"))
def test_an_image_size_that_does_not_fit_is_refused(name):
    with pytest.raises(ValueError, match="image_size"):
        build(name, image_size=33)


@pytest.mark.parametrize(
    ("split", "shape"),
    [
        ("block1_pool", (16, 16, 64)),
        ("block2_pool", (8, 8, 128)),
        ("block4_conv3", (4, 4, 512)),
        ("block4_pool", (2, 2, 512)),
    ],
)
def test_vgg16_is_split_after_the_named_layer(split, shape):
    backbone = build("vgg16", split=split)
    assert backbone.lower.output_shape[1:] == shape
    assert backbone.lower.layers[-1].name == split
    names = [layer.name for part in (backbone.lower, backbone.upper) for layer in part.layers]
    reference = [layer.name for layer in keras.applications.VGG16(include_top=False, weights=None).layers]
    blocks, expected = ({n for n in group if n.startswith("block")} for group in (names, reference))
    assert blocks == expected - {"block5_pool"}


def test_vgg16_has_the_papers_56x56x128_low_level_features():
    assert build("vgg16", image_size=224).lower.output_shape[1:] == (56, 56, 128)


def test_vgg16_computes_what_keras_applications_computes(tmp_path):
    reference = keras.applications.VGG16(include_top=False, weights=None, input_shape=(64, 64, 3))
    layer_file = str(tmp_path / "layers.h5")
    keras_layout.write(reference, layer_file)
    backbone = build("vgg16", image_size=64, weights=layer_file)
    images = tf.random.stateless_uniform([1, 64, 64, 3], [1, 2], 0.0, 255.0)
    expected = keras.Model(reference.input, reference.get_layer("block5_conv3").output)(
        keras.applications.vgg16.preprocess_input(images.numpy())
    )
    actual = backbone.upper(backbone.lower(backbone.normalize(images)))["features"]
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
    assert not np.any(backbone.upper.get_layer("predictions").kernel)  # the file has no weights for it
    assert np.all(build("vgg16").upper.get_layer("predictions").kernel)


def test_vgg16_with_the_original_head():
    backbone = build("vgg16", head="fully_connected", split="block5_pool")
    assert [layer.name for layer in backbone.upper.layers if layer.name.startswith(("fc", "pred"))] == [
        "fc1", "fc1_dropout", "fc2", "predictions",
    ]
    assert backbone.upper(tf.zeros([1, 1, 1, 512]))["logits"].shape == (1, 5)


def test_vgg16_with_cross_dimensional_pooling():
    plain, weighted = build("vgg16"), build("vgg16", head="cross_dimensional")
    assert [w.shape for w in weighted.upper.weights] == [w.shape for w in plain.upper.weights]
    features = tf.random.stateless_uniform([2, *weighted.upper.input_shape[1:]], [0, 1])
    outputs = weighted.upper(features)
    pooled = CrossDimensionalPooling()(outputs["features"])
    np.testing.assert_allclose(weighted.upper.get_layer("predictions")(pooled), outputs["logits"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", PRETRAINED)
def test_weights_that_are_no_file_are_refused(name):
    with pytest.raises(FileNotFoundError, match=f"^weights: .*a {PRETRAINED[name]} weights file; 'nowhere.h5'"):
        build(name, weights="nowhere.h5")


@pytest.mark.parametrize("weights", ["", " ", "gs://bucket/vgg16.h5"])
def test_weights_that_are_no_local_path_are_refused(weights):
    with pytest.raises(UserError, match="^weights: "):
        build("vgg16", weights=weights)


def test_vgg16_expands_the_home_folder_in_weights(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    reference = keras.applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3))
    reference.save_weights(str(tmp_path / "notop.weights.h5"))
    backbone = build("vgg16", image_size=32, weights="~/notop.weights.h5")
    names = ("block1_conv1", "block1_conv2")
    for name in names:
        np.testing.assert_array_equal(
            backbone.lower.get_layer(name).get_weights()[0], reference.get_layer(name).get_weights()[0]
        )


def test_without_a_network_a_message_explains_how_to_pass_a_weights_file(tmp_path):
    program = """
        from ornet_tf.backbones import resnet50, vgg16
        for backbone in (vgg16, resnet50):
            try:
                backbone.build(image_size=32, num_classes=3)
            except OSError as error:
                print("message:", error)
    """
    nowhere = dict.fromkeys(("https_proxy", "HTTPS_PROXY"), "http://127.0.0.1:9")
    env = {**os.environ, **nowhere, "HOME": str(tmp_path), "KERAS_HOME": str(tmp_path), "no_proxy": "", "NO_PROXY": ""}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=source_tree.ROOT, env=env, capture_output=True,
        text=True, check=True, timeout=120,
    )
    for name in PRETRAINED.values():
        assert f"message: weights: {name}'s ImageNet weights" in done.stdout
    assert done.stdout.count("--config.backbone.options.weights=FILE") == 2


def test_the_released_weights_can_be_loaded():
    shared = pathlib.Path(__file__).parents[3] / "shared" / "weights"
    path = os.environ.get("ORNET_VGG16", shared / "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5")
    if not os.path.exists(path):
        pytest.skip("set ORNET_VGG16 to VGG16's released weights file (Keras layout) to run this test")
    backbone = build("vgg16", weights=str(path))
    reference = keras.applications.VGG16(include_top=False, weights=str(path))
    for part, name in ((backbone.lower, "block1_conv1"), (backbone.upper, "block5_conv3")):
        for actual, expected in zip(part.get_layer(name).get_weights(), reference.get_layer(name).get_weights()):
            np.testing.assert_array_equal(actual, expected)
