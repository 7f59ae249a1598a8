import errno
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from ml_collections import ConfigDict

from ornet_tf import build, config_check
from ornet_tf.compat import keras
from ornet_tf.data import input_pipeline, loading
from ornet_tf.models import layers
from ornet_tf.runs import interruption
from ornet_tf.training import frozen_features, phases
from ornet_tf.training.frozen_features import CachedFeatures, FrozenFeatures
from tests import tiny_experiment, tiny_prior
from tests.training import soak

VIEWS = {"resize": 32, "crop": 32, "horizontal_flip": True}


def make(phase="stage_two", precision="float32", **options):
    experiment = tiny_experiment.get_config()
    experiment.input.update(VIEWS)
    with experiment.unlocked():
        experiment.phase[phase].options.update({"freeze_lower": True, **options})
    keras.utils.set_random_seed(0)
    method = build.build_method(experiment, experiment.phase[phase], 3, precision=precision)
    return experiment, method, loading.load_source(experiment, "train")


def compute_chain(method, images):
    """Returns the frozen features of a batch by name."""
    features, outputs = {}, images
    for name, model, _ in method.frozen_features():
        features[name] = outputs = model(outputs, training=False)
    return features


@pytest.mark.parametrize(
    ("flip", "precision", "views"),
    [
        (True, "float32", {**VIEWS, "cache": "disk"}),
        (False, "float32", {**VIEWS, "cache": "auto"}),
        (True, "bfloat16", VIEWS),
        (True, "float16", VIEWS),
        (True, "float32", {**VIEWS, "resize": 37}),
    ],
)
def test_cached_features_are_those_of_the_batch(tmp_path, flip, precision, views):
    _, method, source = make(precision=precision, object_prior=True)
    views = {**views, "horizontal_flip": flip}
    cached = FrozenFeatures(source, **views, cache_dir=str(tmp_path)).of(method)
    views.pop("cache", None)
    mirrored, lookup = [], tf.function(cached.lookup)
    for batch in input_pipeline.training_batches(source, batch_size=8, seed=0, random_crop=False, **views).take(6):
        found, expected = lookup(batch["index"], batch["mirrored"]), compute_chain(method, batch["image"])
        cached.release_memory()
        assert found.keys() == expected.keys() == {"low_level_features", "last_features"}
        for name, values in expected.items():
            assert found[name].dtype == values.dtype == precision
            actual, wanted = (tf.cast(outputs, tf.float32).numpy() for outputs in (found[name], values))
            limit = np.abs(wanted).max() * (1e-3 if precision == "float32" else 2e-2)  # float32 is stored as float16
            np.testing.assert_allclose(actual, wanted, atol=limit)
        mirrored += batch["mirrored"].numpy().tolist()
    assert set(mirrored) == ({False, True} if flip else {False})
    # A scratch file has no name.
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith("images-")] == []


class SwappedViews(CachedFeatures):
    """A faulty cache, which returns the features of the mirrored view for the other one and the reverse."""

    def lookup(self, index, mirrored):
        return super().lookup(index, tf.logical_not(mirrored))


def train(workdir):
    """Trains all phases with an object prior."""
    config = tiny_prior.get_config()
    config.training.summary_images = 0  # drawing them takes longer than training
    phases.train(config, str(workdir))


def train_stage_one(evaluator, workdir, **options):
    """Trains stage one without an object prior, from the evaluator of another run, and returns its weights."""
    shutil.copytree(evaluator, workdir, ignore=shutil.ignore_patterns("stage_*", "tensorboard"))
    config = tiny_prior.get_config(object_prior=False, **options)
    config.phase_order, config.export.row = ("evaluator", "stage_one"), "stage_one"
    config.training.summary_images = 0
    phases.train(config, str(workdir))
    parts = build.trained_method(config, "stage_one", str(workdir), 3).parts
    return np.concatenate([values.ravel() for part in parts.values() for values in part.get_weights()])


@pytest.fixture(scope="module")
def cached_run(tmp_path_factory):
    """A run with cached features, and the names of the features that each pass over the images computed."""
    passes, compute = [], FrozenFeatures._compute

    def watched(self, chain, digests):
        passes.append(sorted(digests))
        compute(self, chain, digests)

    workdir = tmp_path_factory.mktemp("cached") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FrozenFeatures, "_compute", watched)
        train(workdir)
    return workdir, passes


@pytest.mark.slow
def test_phases_with_the_same_frozen_weights_share_one_pass_over_the_images(cached_run):
    assert cached_run[1] == [["last_features", "low_level_features"]]


@pytest.mark.slow
def test_a_run_with_cached_features_ends_like_one_without(cached_run, tmp_path, monkeypatch):
    of_prior, _ = cached_run
    cached = train_stage_one(of_prior, tmp_path / "cached")
    expected = train_stage_one(of_prior, tmp_path / "plain", cache_frozen_features=False)
    monkeypatch.setattr(frozen_features, "CachedFeatures", SwappedViews)
    faulty = train_stage_one(of_prior, tmp_path / "faulty")
    # Rounding may move the weights; a faulty cache must move them much further.
    distance, faulty = (np.linalg.norm(weights - expected) for weights in (cached, faulty))
    assert distance < faulty / 10, (distance, faulty)


@pytest.mark.slow
def test_an_interrupted_run_ends_like_an_uninterrupted_one(cached_run, tmp_path, monkeypatch):
    soak.stop_inside_window(monkeypatch)
    workdir = tmp_path / "run"
    shutil.copytree(cached_run[0], workdir, ignore=shutil.ignore_patterns("stage_*"))
    for phase in ("stage_one", "stage_two"):
        with pytest.raises(interruption.Interrupted, match=f"after step 3 of 6 of {phase}"):
            train(workdir)
    train(workdir)
    assert soak.differences(str(cached_run[0]), str(workdir)) == []


@pytest.mark.parametrize("phase", ["evaluator", "stage_one", "stage_two"])
def test_the_low_layers_are_not_computed_if_their_features_are_in_the_batch(phase):
    _, method, _ = make(phase)
    batch = {"image": tf.zeros([2, 32, 32, 3]), "low_level_features": tf.ones([2, 8, 8, 6])}
    assert [feature.name for feature in method.frozen_features() if feature.is_read] == ["low_level_features"]
    assert not any(path.startswith("lower/") for path in method.trainable_variables)
    for weight in method.parts["lower"].weights:
        weight.assign(np.full(weight.shape, np.nan, np.float32))
    for name, values in method.forward(batch, training=True).items():
        assert np.isfinite(values).all(), name


def vgg16_phases(dropout=0.0):
    """Returns an evaluator whose dense layer alone is trained, a stage one with the same weights, and images."""
    experiment, _, source = make()
    options = {"split": "block4_conv3", "weights": None, "dropout": dropout}
    experiment.backbone = ConfigDict({"name": "vgg16", "options": options})
    experiment.generator.update({"base_width": 4, "depth": 1})
    with experiment.unlocked():
        experiment.phase.evaluator.options.freeze_lower = True
        experiment.phase.stage_one.options.update({"freeze_lower": True, "object_prior": True})
    evaluator, stage_one = (build.build_method(experiment, experiment.phase[name], 3) for name in list(PHASES)[:2])
    layers.freeze_untrained(evaluator.parts["upper"], evaluator.parts["upper"].get_layer("predictions").weights)
    for part in ("lower", "upper"):
        stage_one.parts[part].set_weights(evaluator.parts[part].get_weights())
    return evaluator, stage_one, source.select(range(3))


PHASES = {"evaluator": ["head_input"], "stage_one": ["low_level_features", "last_features"]}


def test_an_evaluator_caches_the_input_of_its_first_trained_layer(tmp_path):
    evaluator, stage_one, source = vgg16_phases()
    features = FrozenFeatures(source, **VIEWS, cache_dir=str(tmp_path))
    cached = features.of(evaluator, keep_all=True)
    images = tf.random.stateless_uniform([2, 32, 32, 3], [1, 2], 0, 255)
    vector = compute_chain(evaluator, images)["head_input"]
    assert vector.shape == [2, 512]
    expected = evaluator.forward({"image": images}, training=False)["logits"]
    np.testing.assert_allclose(evaluator.forward({"head_input": vector}, training=False)["logits"], expected, atol=1e-4)
    # Another phase with these weights computes nothing, with other weights only what depends on them.
    passes = []
    features._compute = lambda chain, digests: passes.append(sorted(digests))
    assert [list(cached._tables), list(features.of(stage_one, keep_all=True)._tables)] == list(PHASES.values())
    assert not passes
    kernel = stage_one.parts["upper"].get_layer("block5_conv1").kernel
    kernel.assign(kernel + 1e-3)
    with pytest.raises(KeyError):  # the replacement above computes nothing
        features.of(stage_one)
    assert passes == [["last_features"]]


def test_dropout_ends_the_frozen_layers():
    names = [feature.name for feature in vgg16_phases(dropout=0.5)[0].frozen_features()]
    assert names == ["low_level_features", "last_features", "head_input"]


def test_features_of_masked_images_are_not_cached():
    _, method, _ = make("evaluator", mask_probability=0.5)
    assert not hasattr(method, "frozen_features")


def test_a_frozen_lower_part_does_not_change():
    _, method, _ = make("stage_one")
    images = tf.random.stateless_uniform([4, 32, 32, 3], [1, 2], 0, 255)
    weights = method.parts["lower"].get_weights()
    method.forward({"image": images, "label": tf.zeros([4], tf.int32)}, training=True)
    for old, new in zip(weights, method.parts["lower"].get_weights()):
        np.testing.assert_array_equal(old, new)  # moving statistics included


def test_features_that_cannot_be_cached_are_refused(tmp_path, monkeypatch):
    experiment, method, source = make()
    features = FrozenFeatures(source, **VIEWS, cache_dir=str(tmp_path / "cache"))
    with pytest.raises(ValueError, match="frozen_features: .* no frozen part .* options.freeze_lower"):
        features.of(make("evaluator", freeze_lower=False)[1])
    beta = [weight for weight in method.parts["lower"].weights if "beta" in weight.name][-1]
    beta.assign(np.full(beta.shape, 1e5, np.float32))
    with pytest.raises(ValueError, match="low_level_features below 65,504, the largest float16; got larger"):
        features.of(method)
    experiment.input.resize = 36
    experiment.phase.stage_two.cache_frozen_features = True
    with pytest.raises(ValueError, match="phase.stage_two.cache_frozen_features: expected False with random crops"):
        config_check.validate(experiment)


def test_a_full_disk_is_named_before_features_are_computed(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    _, method, source = make()
    with pytest.raises(OSError, match="low_level_features of all images .* No space .*another config.input.cache_dir"):
        FrozenFeatures(source, **VIEWS, cache_dir=str(tmp_path)).of(method)
