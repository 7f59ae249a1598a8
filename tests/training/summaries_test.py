import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from ornet_tf.training.summaries import PhaseSummaries, observations
from tests import forked_programs


def events(folder):
    for path in sorted((folder / "tensorboard").iterdir()):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                yield event.step, value


def test_scalars_go_to_tensorboard_and_to_json_lines(tmp_path):
    with PhaseSummaries(str(tmp_path), {"seed": 5}) as summaries:
        summaries.scalars(10, {"loss": 1.5, "loss/area": 0.25})
        summaries.scalars(20, {"loss": 1.0, "loss/area": 0.5})
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == [{"step": 10, "loss": 1.5, "loss/area": 0.25}, {"step": 20, "loss": 1.0, "loss/area": 0.5}]
    seen = {(step, v.tag): tf.make_ndarray(v.tensor).item() for step, v in events(tmp_path) if v.tag.startswith("loss")}
    assert seen == {(10, "loss"): 1.5, (10, "loss/area"): 0.25, (20, "loss"): 1.0, (20, "loss/area"): 0.5}


def test_the_settings_are_kept_as_text(tmp_path):
    with PhaseSummaries(str(tmp_path), {"seed": 5}):
        pass
    text, = (tf.make_ndarray(v.tensor).item().decode() for _, v in events(tmp_path) if v.tag == "settings")
    assert json.loads(text) == {"seed": 5}


def test_maps_are_laid_over_their_images(tmp_path):
    images = np.zeros((2, 8, 8, 3), np.float32)
    maps = np.zeros((2, 4, 4, 1), np.float32)
    maps[1] = 1.0
    with PhaseSummaries(str(tmp_path), {}) as summaries:
        boxes = np.array([[[0.25, 0.25, 0.75, 0.75]], [[0, 0, 0, 0]]])
        masked = np.full((2, 8, 8, 3), 9, np.uint8)
        summaries.images(
            7, images, {"activation_map": maps, "erased_map": maps, "masked_image": masked, "boxes": boxes}
        )
    values = {v.tag: v for step, v in events(tmp_path) if step == 7}
    encoded = tf.make_ndarray(values["activation_map"].tensor)[2:]  # after width and height
    off, on = (tf.io.decode_png(png).numpy() for png in encoded)
    assert off.shape == on.shape == (8, 8, 3)
    assert on.mean() > off.mean()
    assert {"activation_map_values", "erased_map"} <= set(values)
    boxed, plain = (tf.io.decode_png(png).numpy() for png in tf.make_ndarray(values["boxes"].tensor)[2:])
    assert boxed[2, 4, 1] > 200 and not plain.any()
    masked = tf.io.decode_png(tf.make_ndarray(values["masked_image"].tensor)[2]).numpy()
    assert (masked == 9).all()


def test_hyper_parameters_are_there_for_tensorboards_table(tmp_path):
    with PhaseSummaries(str(tmp_path), {"seed": 5, "phase": {"rate": 0.5, "pairs": [1, 2], "options": {}}}):
        pass
    value, = (v for _, v in events(tmp_path) if v.tag == "_hparams_/session_start_info")
    content = HParamsPluginData.FromString(value.metadata.plugin_data.content)
    found = {key: v.string_value or v.number_value for key, v in content.session_start_info.hparams.items()}
    assert found == {"seed": 5, "phase.rate": 0.5, "phase.pairs": "[1, 2]", "phase.options": "{}"}


def write_step(summaries, step):
    images = np.zeros((1, 8, 8, 3), np.float32)
    summaries.scalars(step, {"loss": 1 / step, "loss/area": step})
    summaries.images(step, images, {"activation_map": np.full((1, 4, 4, 1), step / 100, np.float32)})


def write(folder, steps, first_step=0):
    with PhaseSummaries(str(folder), {"seed": 5}, first_step=first_step) as summaries:
        for step in steps:
            write_step(summaries, step)


@pytest.mark.slow
def test_what_was_flushed_is_there_after_a_kill(tmp_path):
    program = f"""
        import os, signal
        from ornet_tf.training.summaries import PhaseSummaries
        summaries = PhaseSummaries({str(tmp_path)!r}, {{"seed": 5}})
        for step in range(1, 60):
            summaries.scalars(step, {{"loss": step}})
        summaries.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    """
    status, text = forked_programs.run_source(program)
    assert status == -9, text
    found = [(step, tf.make_ndarray(value.tensor)) for step, value in events(tmp_path) if value.tag == "loss"]
    assert found == [(step, step) for step in range(1, 60)]
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 59


def test_a_line_that_is_no_metrics_is_left_out_and_said(tmp_path, caplog):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 0.5}\n\0\0\0\n[1]\n{"step": 2, "loss": 0.25}\n')
    with caplog.at_level("WARNING", logger="absl"):
        write(tmp_path, [3], first_step=2)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3]
    assert caplog.text.count("metrics.jsonl: removed a line") == 2


@pytest.mark.slow
def test_a_full_disk_is_said(tmp_path):
    program = f"""
        import resource, signal
        from ornet_tf.training.summaries import PhaseSummaries
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))
        try:
            with PhaseSummaries({str(tmp_path)!r}, {{"seed": 5}}) as summaries:
                for step in range(1, 5000):
                    summaries.scalars(step, {{"loss": step}})
                    summaries.flush()
        except OSError as error:
            print(error)
    """
    status, text = forked_programs.run_source(program)
    assert status == 0 and "could not be written: " in text
    assert "start the same command again: training resumes from the last checkpoint" in text


@pytest.mark.slow
def test_a_metrics_file_that_cannot_grow_is_said_and_keeps_its_lines(tmp_path):
    line = json.dumps({"step": 1, "loss": 0.5}) + "\n"
    (tmp_path / "metrics.jsonl").write_text(line * 1000)
    program = f"""
        import resource, signal
        from ornet_tf.training.summaries import PhaseSummaries
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            with PhaseSummaries({str(tmp_path)!r}, {{"seed": 5}}, first_step=1) as summaries:
                resource.setrlimit(resource.RLIMIT_FSIZE, ({1000 * len(line) + 10},) * 2)
                summaries.scalars(2, {{"loss": 0.25}})
        except OSError as error:
            print(error)
    """
    status, text = forked_programs.run_source(program)
    path = tmp_path / "metrics.jsonl"
    assert status == 0 and f"{path} could not be written: File too large. Raise the limit of file sizes" in text
    write(tmp_path, [2], first_step=1)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1] * 1000 + [2]


def test_a_folder_that_is_removed_below_a_run_is_said(tmp_path):
    with pytest.raises(OSError) as caught, PhaseSummaries(str(tmp_path / "run"), {"seed": 5}) as summaries:
        shutil.rmtree(tmp_path / "run")
        write_step(summaries, 1)
        summaries.flush()
    message = f"{tmp_path / 'run' / 'metrics.jsonl'} could not be written: No such file or directory"
    assert str(caught.value).startswith(message)


def test_a_file_in_the_way_is_said(tmp_path):
    (tmp_path / "tensorboard").write_text("")
    with pytest.raises(OSError, match="tensorboard could not be written: .*start the same command again"):
        PhaseSummaries(str(tmp_path), {})


def test_observations_of_replicas_add_up_to_the_mean():
    logits = tf.constant([[1.0, 2.0], [3.0, 1.0], [0.0, 1.0], [5.0, 1.0]])
    maps = tf.constant([[0.0, 1.0], [0.5, 0.5], [0.3, 0.9], [0.1, 0.1]])[:, :, tf.newaxis, tf.newaxis]
    outputs = {"label": tf.constant([1, 1, 1, 0]), "logits": logits, "unused_logits": logits, "activation_map": maps}
    parts = [{k: v[part] for k, v in outputs.items()} for part in (slice(0, 1), slice(1, 4))]
    halves = [observations(part, 4, {"logits", "label"}) for part in parts]
    assert "accuracy/unused_logits" not in halves[0]
    total = {name: float(halves[0][name] + halves[1][name]) for name in halves[0]}
    np.testing.assert_allclose(total["accuracy/logits"], 0.75)
    np.testing.assert_allclose(total["map/mean"], 0.425, atol=1e-6)
    np.testing.assert_allclose(total["map/standard_deviation"], (0.5 + 0.0 + 0.3 + 0.0) / 4, atol=1e-6)
    np.testing.assert_allclose(total["map/share_on"], (0.5 + 0.0 + 0.5 + 0.0) / 4)
    np.testing.assert_allclose(total["map/share_grey"], (0.0 + 1.0 + 0.5 + 0.0) / 4)
