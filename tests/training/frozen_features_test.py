import shutil
import weakref

import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import build, config_check
from ornet_tf.compat import keras
from ornet_tf.data import input_pipeline, loading, main_memory
from ornet_tf.training import phases
from ornet_tf.training.frozen_features import FrozenFeatures
from tests import tiny_experiment, tiny_prior

VIEWS = {"resize": 32, "crop": 32, "horizontal_flip": True}


def make(phase="stage_two", precision="float32", **options):
    experiment = tiny_experiment.get_config()
    experiment.input.update(VIEWS)
    with experiment.unlocked():
        experiment.phase[phase].options.update(options)
    keras.utils.set_random_seed(0)
    method = build.build_method(experiment, experiment.phase[phase], 3, precision=precision)
    return experiment, method, loading.load_source(experiment, "train")


@pytest.mark.parametrize(
    ("flip", "precision", "views"),
    [
        (True, "float32", VIEWS),
        (False, "float32", VIEWS),
        (True, "bfloat16", VIEWS),
        (True, "float32", {**VIEWS, "resize": 37, "random_crop": False}),
    ],
)
def test_cached_features_are_those_of_the_batch(flip, precision, views):
    _, method, source = make(precision=precision)
    views = {**views, "horizontal_flip": flip}
    cached = FrozenFeatures(method, source, **views)
    mirrored, lookup = [], tf.function(cached.lookup)
    for batch in input_pipeline.training_batches(source, batch_size=8, seed=0, **views).take(6):
        found = lookup(batch["index"], batch["mirrored"])
        expected = method.frozen_features(batch["image"])
        assert found.keys() == expected.keys() == {"low_level_features"}
        assert found["low_level_features"].dtype == expected["low_level_features"].dtype == precision
        actual, wanted = (tf.cast(outputs["low_level_features"], tf.float32) for outputs in (found, expected))
        np.testing.assert_allclose(actual, wanted, atol=1e-5 if precision == "float32" else 0.05)
        mirrored += batch["mirrored"].numpy().tolist()
    assert set(mirrored) == ({False, True} if flip else {False})


class SwappedViews(FrozenFeatures):
    """A faulty cache, which returns the features of the mirrored view for the other one and the reverse."""

    def lookup(self, index, mirrored):
        return super().lookup(index, tf.logical_not(mirrored))


def trained_weights(cache, workdir, monkeypatch):
    """Trains the phases with a cache, or without one for None; returns their weights as one vector."""
    if cache:
        monkeypatch.setattr(phases, "FrozenFeatures", cache)
        # The evaluator caches nothing: it is trained once for all runs.
        shutil.copytree(workdir.parent / "without", workdir, ignore=shutil.ignore_patterns("stage_*"))
    experiment = tiny_prior.get_config(cache is not None)
    phases.train(experiment, str(workdir))
    weights = []
    for name in experiment.phase_order:
        parts = build.trained_method(experiment, name, str(workdir), 3).parts
        direction = parts.pop("direction", None)
        weights += [values for part in parts.values() for values in part.get_weights()]
        # Means instead of sums, which are over all positions.
        weights += [values / values[-1, -1] for values in (direction.get_weights() if direction else ())]
    return np.concatenate([values.ravel() for values in weights])


@pytest.mark.slow
def test_a_run_with_cached_features_ends_like_one_without(tmp_path, monkeypatch):
    earlier, caches = [], []

    class Watched(FrozenFeatures):
        def __init__(self, *args, **options):
            earlier.append([cache() is not None for cache in caches])
            super().__init__(*args, **options)
            caches.append(weakref.ref(self))

    expected = trained_weights(None, tmp_path / "without", monkeypatch)
    distance = np.linalg.norm(trained_weights(Watched, tmp_path / "with", monkeypatch) - expected)
    assert earlier == [[], [False]]  # the cache of a phase is freed before the next phase fills its own
    # Rounding moves the weights as well; a faulty cache must move them much further.
    faulty = np.linalg.norm(trained_weights(SwappedViews, tmp_path / "faulty", monkeypatch) - expected)
    assert distance < faulty / 10, (distance, faulty)


@pytest.mark.parametrize("phase", ["evaluator", "stage_one", "stage_two"])
def test_the_low_layers_are_not_computed_if_their_features_are_in_the_batch(phase):
    _, method, _ = make(phase, **({} if phase == "stage_two" else {"freeze_lower": True}))
    batch = {"image": tf.zeros([2, 32, 32, 3]), "low_level_features": tf.ones([2, 8, 8, 6])}
    assert method.frozen_features(batch["image"])["low_level_features"].shape == [2, 8, 8, 6]
    assert not any(path.startswith("lower/") for path in method.trainable_variables)
    for weight in method.parts["lower"].weights:
        weight.assign(np.full(weight.shape, np.nan, np.float32))
    for name, values in method.forward(batch, training=True).items():
        assert np.isfinite(values).all(), name


def test_features_of_masked_images_are_not_cached():
    _, method, _ = make("evaluator", freeze_lower=True, mask_probability=0.5)
    assert not hasattr(method, "frozen_features")


def test_a_frozen_lower_part_does_not_change():
    _, method, _ = make("stage_one", freeze_lower=True)
    images = tf.random.stateless_uniform([4, 32, 32, 3], [1, 2], 0, 255)
    weights = method.parts["lower"].get_weights()
    method.forward({"image": images, "label": tf.zeros([4], tf.int32)}, training=True)
    for old, new in zip(weights, method.parts["lower"].get_weights()):
        np.testing.assert_array_equal(old, new)  # moving statistics included


def test_features_that_cannot_be_cached_are_refused(monkeypatch):
    experiment, method, source = make()
    with pytest.raises(ValueError, match="expected random_crop = False or crop = .* got random crops of 32 of 36 pix"):
        FrozenFeatures(method, source, **{**VIEWS, "resize": 36})
    with pytest.raises(ValueError, match="frozen_features: .* no frozen part .* options.freeze_lower"):
        FrozenFeatures(make("evaluator")[1], source, **VIEWS)
    monkeypatch.setattr(main_memory, "available_bytes", lambda: 10)
    with pytest.raises(ValueError, match="low_level_features of all images .*cache_frozen_features"):
        FrozenFeatures(method, source, **VIEWS)
    experiment.input.resize = 36
    experiment.phase.stage_two.cache_frozen_features = True
    with pytest.raises(ValueError, match="phase.stage_two.cache_frozen_features: expected False with random crops"):
        config_check.validate(experiment)
