"""The pseudo masks of a phase, and the object prior that it learns before its first step."""
import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import build
from ornet_tf.data import input_pipeline, loading
from ornet_tf.errors import UserError
from ornet_tf.evaluation import measurement
from ornet_tf.inference import localizer
from ornet_tf.models.object_prior import ObjectPrior, shrink_mask
from ornet_tf.models.variables import named_variables
from ornet_tf.training import phases, pseudo_masks
from ornet_tf.training.frozen_features import FrozenFeatures
from tests import tiny_prior

VIEWS = {"resize": 37, "crop": 32, "horizontal_flip": True}


def compute(workdir, *, learn):
    """Returns stage one's method, the training images, and their cached features with pseudo masks."""
    config = tiny_prior.get_config()
    source = loading.load_source(config, "train")
    method = build.build_method(config, config.phase.stage_one, 3)
    features = FrozenFeatures(source, **VIEWS, cache_dir=str(workdir))
    cached = features.of(method)
    if learn:
        pseudo_masks.learn_prior(method.prior, cached, features, source.labels)
    return method, source, pseudo_masks.add(method.prior, cached, features, source.labels)


def test_each_view_has_the_pseudo_mask_of_its_label(tmp_path):
    method, source, cached = compute(tmp_path, learn=True)
    on, lookup = [], tf.function(cached.lookup)
    for batch in input_pipeline.training_batches(source, batch_size=8, seed=0, random_crop=False, **VIEWS).take(6):
        found = lookup(batch["index"], batch["mirrored"])["pseudo_mask"]
        low, last = (found for found in (lookup(batch["index"], batch["mirrored"])[name]
                                         for name in ("low_level_features", "last_features")))
        masks = method.prior.pseudo_masks(low, last, batch["label"], batch["image"])
        expected = shrink_mask(masks, *low.shape[1:3])
        assert found.dtype == tf.float32
        assert np.mean(found != expected) < 0.01  # rounding may move a score over the threshold
        on.append(np.mean(found))
    assert 0.02 < np.mean(on) < 0.98


def test_learning_passes_over_all_images_once_and_sets_the_part(tmp_path, monkeypatch):
    before = compute(tmp_path, learn=False)[0].parts["direction"]
    assert not any(np.any(values) for name in ("low_level", "last") for values in before.get_layer(name).get_weights())
    labels, learn = [], ObjectPrior.learn

    def watched(self, batches):
        labels.extend(np.concatenate([batch[2] for batch in batches()]).tolist())
        learn(self, batches)

    monkeypatch.setattr(ObjectPrior, "learn", watched)
    method, source, _ = compute(tmp_path, learn=True)
    assert labels == source.labels.tolist()
    assert all(np.any(values) for values in method.parts["direction"].get_weights())


@pytest.mark.slow
def test_a_phase_of_0_epochs_learns_the_prior_and_keeps_its_start_weights(tmp_path, caplog):
    config = tiny_prior.get_config()
    config.phase_order, config.training.summary_images = ("evaluator", "stage_one"), 0
    config.phase.stage_one.epochs = 0.0
    config.evaluation.report_rows, config.export.row = ("cam", "object_prior"), "object_prior"
    with caplog.at_level("INFO", logger="absl"):
        phases.train(config, str(tmp_path))
        phases.train(config, str(tmp_path))  # a second run has nothing left to do
    assert caplog.text.count("is already finished") == 2
    assert "Phase stage_one: 0 epochs, so it keeps its start weights." in caplog.text
    assert "pseudo masks" not in caplog.text  # nothing would learn from them
    row = build.trained_method(config, "object_prior", str(tmp_path), 3)
    source = loading.load_source(config, "test")
    batch = next(iter(loading.evaluation_batches(config, source)))
    scores = row.predict(batch["image"])["activation_map"].numpy()
    assert np.ptp(scores, axis=(1, 2)).min() > 0.1
    with config.unlocked():
        config.export.row = "stage_one"
        config.evaluation.report_rows = ("object_prior", "stage_one")
    with pytest.raises(UserError, match="config.export.row: expected trained .* from stage_one, got start values"):
        localizer.load(config, str(tmp_path))
    with pytest.raises(UserError, match="config.evaluation.report_rows: expected trained .* from stage_one"):
        measurement.evaluate(config, str(tmp_path))


@pytest.mark.slow
def test_a_run_learns_the_prior_once_and_trains_only_the_generator(tmp_path, monkeypatch):
    learned, learn = [], ObjectPrior.learn

    def watched(self, batches):
        learn(self, batches)
        learned.append(self.direction.get_weights())

    monkeypatch.setattr(ObjectPrior, "learn", watched)
    config = tiny_prior.get_config()
    config.training.summary_images = 0
    phases.train(config, str(tmp_path))
    (expected,) = learned
    parts = {name: build.trained_method(config, name, str(tmp_path), 3).parts for name in config.phase_order}
    for stage in ("stage_one", "stage_two"):
        for values, wanted in zip(parts[stage]["direction"].get_weights(), expected):
            np.testing.assert_array_equal(values, wanted)
    for name in ("lower", "upper"):  # moving statistics included
        first, second = (named_variables({name: parts[phase][name]}, trainable_only=False)
                         for phase in ("evaluator", "stage_one"))
        for key in first:
            np.testing.assert_array_equal(first[key], second[key], err_msg=key)
    # Without the finished phases, with the prior of stage one's checkpoint.
    (tmp_path / "stage_one" / "finished.json").unlink()
    phases.train(config, str(tmp_path), allow_changed_settings=True)
    assert len(learned) == 1
