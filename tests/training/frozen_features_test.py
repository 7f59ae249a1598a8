import shutil
import weakref

import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import build, config_check
from ornet_tf.compat import keras
from ornet_tf.data import input_pipeline, loading, main_memory
from ornet_tf.runs import interruption
from ornet_tf.training import phases
from ornet_tf.training.frozen_features import FrozenFeatures
from tests import tiny_experiment, tiny_prior
from tests.training import soak

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


def train(workdir, evaluator="", cached=True):
    """Trains the phases; the evaluator, which caches nothing, is taken from another run if one is named."""
    if evaluator:
        shutil.copytree(evaluator, workdir, ignore=shutil.ignore_patterns("stage_*", "tensorboard"))
    phases.train(tiny_prior.get_config(cached), str(workdir))


def read_weights(workdir):
    """Returns the weights of a run as one vector."""
    weights = []
    for name in ("evaluator", "stage_one", "stage_two"):
        parts = build.trained_method(tiny_prior.get_config(), name, str(workdir), 3).parts
        direction = parts.pop("direction", None)
        weights += [values for part in parts.values() for values in part.get_weights()]
        # Means instead of sums, which are over all positions.
        weights += [values / values[-1, -1] for values in (direction.get_weights() if direction else ())]
    return np.concatenate([values.ravel() for values in weights])


@pytest.fixture(scope="module")
def cached_run(tmp_path_factory):
    """A run with cached features, and for each of its caches, whether the earlier ones existed when it was filled."""
    earlier, caches = [], []

    class Watched(FrozenFeatures):
        def __init__(self, *args, **options):
            earlier.append([cache() is not None for cache in caches])
            super().__init__(*args, **options)
            caches.append(weakref.ref(self))

    workdir = tmp_path_factory.mktemp("cached") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phases, "FrozenFeatures", Watched)
        train(workdir)
    return workdir, earlier


@pytest.mark.slow
def test_the_cache_of_a_phase_is_freed_before_the_next_phase_fills_its_own(cached_run):
    assert cached_run[1] == [[], [False]]


@pytest.mark.slow
def test_a_run_with_cached_features_ends_like_one_without(cached_run, tmp_path, monkeypatch):
    cached, _ = cached_run
    train(tmp_path / "plain", evaluator=cached, cached=False)
    expected = read_weights(tmp_path / "plain")
    monkeypatch.setattr(phases, "FrozenFeatures", SwappedViews)
    train(tmp_path / "faulty", evaluator=cached)
    # Rounding may move the weights; a faulty cache must move them much further.
    distance, faulty = (np.linalg.norm(read_weights(run) - expected) for run in (cached, tmp_path / "faulty"))
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
