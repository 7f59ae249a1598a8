import json
import os

import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import assemble, checkpoints, input_pipeline
from ornet_tf.compat import keras
from ornet_tf.methods import named_variables
from ornet_tf.optimizers import make_optimizers, make_schedule
from ornet_tf.train import make_run_steps, train
from tests import tiny_experiment

PHASES = ("evaluator", "stage_one", "stage_two")


def final_weights(workdir, phase):
    path = tf.train.latest_checkpoint(os.path.join(workdir, phase, "checkpoints"))
    reader = tf.train.load_checkpoint(path)
    names = [n for n, _ in tf.train.list_variables(path) if n.startswith(("lower", "generator", "upper", "optimizer"))]
    return {name: reader.get_tensor(name) for name in names}


def test_every_phase_trains_and_writes_what_it_says(tiny_run):
    _, workdir = tiny_run
    for phase in PHASES:
        assert checkpoints.latest(os.path.join(workdir, phase)).endswith("step-6")
        with open(os.path.join(workdir, phase, "metrics.jsonl"), encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        assert [line["step"] for line in lines] == [2, 4, 6]
        assert {"loss", "learning_rate", "images_per_second"} <= set(lines[0])
        assert all(np.isfinite(list(line.values())).all() for line in lines)
    of_stage_two = {"loss/evaluation", "loss/entropy", "loss/area", "accuracy/evaluator_logits", "map/share_grey"}
    assert of_stage_two <= set(lines[0])


def test_tensorboard_gets_scalars_maps_and_histograms(tiny_run):
    _, workdir = tiny_run
    folder = os.path.join(workdir, "stage_two", "tensorboard")
    tags = set()
    for name in os.listdir(folder):
        for event in tf.compat.v1.train.summary_iterator(os.path.join(folder, name)):
            tags |= {value.tag for value in event.summary.value}
    assert {"loss/evaluation", "activation_map", "activation_map_values", "settings", "images_per_second"} <= tags


def test_stage_two_starts_from_stage_one_and_the_evaluator_and_changes_the_generator_only(tiny_run):
    config, workdir = tiny_run
    parts = {name: assemble.trained_method(config, name, workdir, 3).parts for name in PHASES}
    two = parts["stage_two"]
    for part, source in (
        (two["lower"], parts["stage_one"]["lower"]),
        (two["evaluator_lower"], parts["evaluator"]["lower"]),
        (two["evaluator_upper"], parts["evaluator"]["upper"]),
    ):
        assert part.weights
        for actual, expected in zip(part.get_weights(), source.get_weights()):
            np.testing.assert_array_equal(actual, expected)
    before, after = parts["stage_one"]["generator"].get_weights(), two["generator"].get_weights()
    changed = [not np.array_equal(a, b) for a, b in zip(before, after)]
    assert sum(changed) > len(changed) / 2


def test_a_finished_run_is_not_trained_again(tiny_run):
    config, workdir = tiny_run
    path = os.path.join(workdir, "stage_two", "checkpoints", "checkpoint")
    before = os.stat(path).st_mtime_ns
    train(config, workdir)
    assert os.stat(path).st_mtime_ns == before


def test_an_interrupted_phase_ends_with_the_weights_of_an_uninterrupted_one(tiny_run, tmp_path, monkeypatch):
    config, workdir = tiny_run
    stop_after = {"saves": 2}
    save = checkpoints.PhaseCheckpoints.save

    def save_and_stop(self, step):
        save(self, step)
        stop_after["saves"] -= 1
        if stop_after["saves"] == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints.PhaseCheckpoints, "save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        train(config, str(tmp_path))
    assert checkpoints.latest(str(tmp_path / "evaluator")).endswith("step-4")
    train(config, str(tmp_path))
    for phase in PHASES:
        expected, actual = final_weights(workdir, phase), final_weights(str(tmp_path), phase)
        assert expected.keys() == actual.keys()
        for name, value in expected.items():
            np.testing.assert_array_equal(value, actual[name], err_msg=f"{phase} {name}")


def test_changed_settings_are_refused(tiny_run):
    _, workdir = tiny_run
    config = tiny_experiment.get_config()
    config.phase.evaluator.learning_rate = 0.5
    with pytest.raises(ValueError, match=r"phase.learning_rate was 0.001, now 0.5"):
        train(config, workdir)


def test_a_loss_that_is_not_finite_ends_the_run_and_names_step_and_term(tmp_path):
    config = tiny_experiment.get_config()
    config.phases = ("evaluator",)
    config.phase.evaluator.learning_rate = 1e30
    with pytest.raises(FloatingPointError, match=r"Phase evaluator, step \d+: loss = .*A smaller learning rate"):
        train(config, str(tmp_path))
    assert not checkpoints.is_finished(str(tmp_path / "evaluator"))


def test_more_pictures_in_a_batch_than_there_are_is_an_error(tmp_path):
    config = tiny_experiment.get_config()
    config.phase.evaluator.batch_size = 64
    message = "config.phase.evaluator.batch_size: expected at most the 48 training pictures, got 64"
    with pytest.raises(ValueError, match=message):
        train(config, str(tmp_path))


def test_a_loss_on_a_tensor_that_is_not_there_is_an_error(tmp_path):
    config = tiny_experiment.get_config()
    config.phase.evaluator.losses.classification.inputs = ("logit", "label")
    with pytest.raises(ValueError, match="losses.classification.inputs: no tensor 'logit'; choose from .*logits"):
        train(config, str(tmp_path))


def test_the_steps_of_a_phase_are_its_epochs_without_the_incomplete_batch():
    source = assemble.load_split(tiny_experiment.get_config(), "train")
    assert assemble.total_steps({"epochs": 2.5, "batch_size": 20}, source) == 5


def test_two_replicas_train_like_one():
    config = tiny_experiment.get_config()
    config.phase.stage_one.batch_size = 8
    source = assemble.load_split(config, "train")
    batches = input_pipeline.training_batches(
        source, batch_size=8, seed=0, resize=36, crop=32, horizontal_flip=True, cache=True
    )
    results = []
    for devices in (["CPU:0"], ["CPU:0", "CPU:1"]):
        strategy = tf.distribute.MirroredStrategy(devices)
        with strategy.scope():
            keras.utils.set_random_seed(1)
            method = assemble.build_method(config, config.phase.stage_one, 3)
            schedule = make_schedule(1e-3, "constant", 0, 3)
            optimizers = make_optimizers(method.trainable_variables, schedule=schedule)
        run_steps = make_run_steps(
            strategy, method, optimizers, config.phase.stage_one.losses.to_dict(), steps=3, batch_size=8, seed=0
        )
        names, values = run_steps(iter(strategy.experimental_distribute_dataset(batches)), 0, 3)
        results.append((names, values, named_variables(method.parts, trainable_only=False)))
    assert results[0][0] == results[1][0]
    np.testing.assert_allclose(results[0][1], results[1][1], atol=1e-4)
    for name, one in results[0][2].items():
        # Keras 2.15's fused batch norm keeps N / (N - 1) times the variance of N values, its synchronised one does not.
        counted_otherwise = keras.__version__.startswith("2.") and "moving_variance" in name
        tolerance = 1e-2 if counted_otherwise else 1e-4
        np.testing.assert_allclose(np.asarray(one), np.asarray(results[1][2][name]), atol=tolerance, err_msg=name)
