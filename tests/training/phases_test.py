import json
import os
import shutil
import signal

import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import build
from ornet_tf.data import loading
from ornet_tf.runs import checkpoints, interruption, run_folder
from ornet_tf.training import phases
from ornet_tf.training.phases import train
from tests import tiny_experiment
from tests.training import soak

PHASES = ("evaluator", "stage_one", "stage_two")


def test_every_phase_writes_checkpoints_and_metrics(tiny_run):
    _, workdir = tiny_run
    for phase in PHASES:
        assert checkpoints.latest_checkpoint(os.path.join(workdir, phase)).endswith("step-6")
        with open(os.path.join(workdir, phase, "metrics.jsonl"), encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        assert [line["step"] for line in lines] == [2, 4, 6]
        assert {"loss", "learning_rate", "speed/images_per_second"} <= set(lines[0])
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
    assert {"loss/evaluation", "activation_map", "activation_map_values", "settings", "speed/images_per_second"} <= tags


def test_stage_two_loads_earlier_phases_and_trains_generator_and_low_layers(tiny_run):
    config, workdir = tiny_run
    parts = {name: build.trained_method(config, name, workdir, 3).parts for name in PHASES}
    two = parts["stage_two"]
    for part, source in (
        (two["evaluator_lower"], parts["evaluator"]["lower"]),
        (two["evaluator_upper"], parts["evaluator"]["upper"]),
    ):
        assert part.weights
        for actual, expected in zip(part.get_weights(), source.get_weights()):
            np.testing.assert_array_equal(actual, expected)
    for part in ("lower", "generator"):
        before, after = parts["stage_one"][part].get_weights(), two[part].get_weights()
        kernels = [(a, b) for a, b in zip(before, after) if a.ndim == 4]
        changes = [np.abs(a - b).max() for a, b in kernels]
        assert sum(change > 0 for change in changes) > len(changes) / 2
        assert max(changes) < 0.01  # six steps of 1e-4 do not move them far from those of stage one


def test_a_finished_run_is_not_trained_again(tiny_run):
    config, workdir = tiny_run
    path = checkpoints.latest_checkpoint(os.path.join(workdir, "stage_two")) + ".index"
    before = os.stat(path).st_mtime_ns
    train(config, workdir)
    assert os.stat(path).st_mtime_ns == before


@pytest.mark.slow
def test_a_run_stopped_by_signals_ends_like_an_uninterrupted_one(tiny_run, tmp_path):
    _, workdir = tiny_run
    # The evaluator is that of the other run: its phase stops and resumes as the others do.
    others = shutil.ignore_patterns("stage_*", "cache", "evaluation", "export", "predictions", ".lock*")
    shutil.copytree(workdir, tmp_path, ignore=others, dirs_exist_ok=True)
    for phase, file, number in (
        ("stage_one", "checkpoints/step-2.index", signal.SIGKILL),
        ("stage_two", "checkpoints/step-2.index", signal.SIGTERM),
    ):
        status, text = soak.run(tmp_path, end_at=os.path.join(tmp_path, phase, file), number=number)
        assert status == (interruption.EXIT_CODE if number == signal.SIGTERM else -number), text
        assert not run_folder.is_finished(str(tmp_path / phase))
        if number == signal.SIGTERM:
            step = checkpoints.latest_checkpoint(str(tmp_path / phase)).rsplit("-", 1)[1]
            assert f"SIGTERM stopped the run after step {step} of 6 of {phase}" in text
    status, text = soak.run(tmp_path)
    assert status == 0, text
    assert soak.differences(workdir, str(tmp_path)) == []


def test_the_comparison_of_runs_finds_differences(tiny_run, tmp_path):
    _, workdir = tiny_run
    shutil.copytree(workdir, tmp_path / "copy")
    assert soak.differences(workdir, str(tmp_path / "copy")) == []
    path = tmp_path / "copy" / "stage_two" / "metrics.jsonl"
    path.write_text(path.read_text().replace('"loss": ', '"loss": 1'))
    events, = (tmp_path / "copy" / "stage_one" / "tensorboard").iterdir()
    events.write_bytes(events.read_bytes()[: events.stat().st_size // 2])
    saved = checkpoints.latest_checkpoint(str(tmp_path / "copy" / "evaluator"))
    for suffix in (".index", ".data-00000-of-00001"):
        shutil.copy(saved.replace("step-6", "step-4") + suffix, saved + suffix)
    found = soak.differences(workdir, str(tmp_path / "copy"))
    assert {text.split(":")[0] for text in found} == {
        "stage_two metrics.jsonl", "stage_one TensorBoard", "evaluator checkpoint"
    }


@pytest.mark.slow
def test_a_run_stopped_before_the_first_step_exits_with_one_sentence(tmp_path):
    status, text = soak.run(tmp_path, end_at=os.path.join(tmp_path, "data.json"), number=signal.SIGINT)
    assert status == interruption.EXIT_CODE, text
    assert "SIGINT" in text
    assert "Traceback" not in text


def test_a_folder_in_use_is_refused(tmp_path):
    with run_folder.lock(str(tmp_path)), pytest.raises(ValueError, match="is in use: process"):
        train(tiny_experiment.get_config(), str(tmp_path))


@pytest.mark.slow
def test_after_a_damaged_checkpoint_only_its_steps_are_repeated(tiny_run, tmp_path, caplog):
    config, workdir = tiny_run
    shutil.copytree(workdir, tmp_path, dirs_exist_ok=True)
    os.remove(tmp_path / "stage_two" / "finished.json")
    data = tmp_path / "stage_two" / "checkpoints" / "step-6.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:100])
    with caplog.at_level("WARNING"):
        train(config, str(tmp_path))
    assert "step-6 is damaged" in caplog.text and "resumes from" in caplog.text
    assert soak.differences(workdir, str(tmp_path)) == []


def test_changed_settings_are_refused(tiny_run):
    _, workdir = tiny_run
    config = tiny_experiment.get_config()
    config.phase.evaluator.learning_rate = 0.5
    with pytest.raises(ValueError, match=r"phase.learning_rate was 0.001, now 0.5"):
        train(config, workdir)


@pytest.mark.slow
def test_changed_settings_are_used_if_allowed(tiny_run, tmp_path):
    _, workdir = tiny_run
    shutil.copytree(workdir, tmp_path, dirs_exist_ok=True)
    os.remove(tmp_path / "stage_two" / "finished.json")
    config = tiny_experiment.get_config()
    config.phase.stage_two.epochs, config.training.summary_images = 2.0, 0
    train(config, str(tmp_path), allow_changed_settings=True)
    assert checkpoints.latest_checkpoint(str(tmp_path / "stage_two")).endswith("step-12")


@pytest.mark.slow
def test_the_profile_is_written_for_tensorboard(tmp_path):
    config = tiny_experiment.get_config()
    config.phase_order, config.training.summary_images = ("evaluator",), 0
    config.evaluation.update({"report_rows": (), "classifier": "evaluator"})
    train(config, str(tmp_path), profile=True)
    assert list((tmp_path / "evaluator" / "tensorboard" / "plugins" / "profile").rglob("*.xplane.pb"))


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_the_run_and_names_step_and_term(tmp_path):
    config = tiny_experiment.get_config()
    config.phase_order, config.training.summary_images = ("evaluator",), 0
    config.phase.evaluator.learning_rate = 1e30
    with pytest.raises(FloatingPointError, match=r"Phase evaluator, step \d+: loss = .*learning rate"):
        train(config, str(tmp_path))
    assert not run_folder.is_finished(str(tmp_path / "evaluator"))


def test_a_loss_on_a_missing_tensor_is_refused(tmp_path):
    config = tiny_experiment.get_config()
    config.phase.evaluator.losses.classification.inputs = ("logit", "label")
    with pytest.raises(ValueError, match="losses.classification.inputs: no tensor 'logit'; choose from .*logits"):
        train(config, str(tmp_path))


def test_the_steps_of_a_phase_leave_out_incomplete_batches():
    source = loading.load_split(tiny_experiment.get_config(), "train")
    steps = [phases.total_steps({"epochs": epochs, "batch_size": 20}, source) for epochs in (2.5, 0.01, 0.0)]
    assert steps == [5, 1, 0]
