import json
import os

import numpy as np
import pytest

from ornet_tf import build, weights
from ornet_tf.errors import UserError
from ornet_tf.models.variables import named_variables
from ornet_tf.runs import checkpoints, run_folder, training_data
from ornet_tf.training import weights_file
from ornet_tf.training.phases import train
from tests import tiny_prior_run


@pytest.fixture(scope="module")
def packed(tiny_run, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("packed") / "run.npz")
    assert weights_file.pack(*tiny_run, path) == ["evaluator", "stage_one", "stage_two"]
    return path


def all_variables(config, phase, workdir):
    return named_variables(build.trained_method(config, phase, workdir, 3).parts, trainable_only=False)


def test_packed_weights_are_unpacked_unchanged(tiny_run, packed, tmp_path):
    config, workdir = tiny_run
    weights_file.unpack(config, str(tmp_path), packed)
    for name in config.phase_order:
        before = all_variables(config, name, workdir)
        after = all_variables(config, name, str(tmp_path))
        assert list(before) == list(after)
        assert any("moving_variance" in key for key in before)
        for key in before:
            np.testing.assert_array_equal(after[key], before[key], err_msg=key)
    assert training_data.class_names(str(tmp_path)) == training_data.class_names(workdir)
    images = training_data.read_images(str(tmp_path)).images
    np.testing.assert_array_equal(images, training_data.read_images(workdir).images)
    assert images.shape == (48, 3)


def test_a_file_without_training_images_is_read(tiny_run, packed, tmp_path):
    with np.load(packed) as stored:
        arrays = {key: stored[key] for key in stored.files if key != "training_images"}
    np.savez(tmp_path / "before.npz", **arrays)
    weights_file.unpack(tiny_run[0], str(tmp_path / "run"), str(tmp_path / "before.npz"))
    assert training_data.read_images(str(tmp_path / "run")) is None


@pytest.mark.slow
def test_the_object_prior_direction_is_restored(tiny_run, tmp_path):
    workdir, other = str(tmp_path / "run"), str(tmp_path / "other")
    config = tiny_prior_run.write(tiny_run[1], workdir)
    weights_file.pack(config, workdir, str(tmp_path / "run.npz"))
    weights_file.unpack(config, other, str(tmp_path / "run.npz"))
    for name in tiny_prior_run.STAGES:
        before, after = all_variables(config, name, workdir), all_variables(config, name, other)
        learned = [key for key in before if key.startswith("direction/")]
        assert len(learned) == 5 and np.any(before["direction/last/directions"])
        for key in before:
            np.testing.assert_array_equal(after[key], before[key], err_msg=key)


def test_training_treats_unpacked_phases_as_finished(tiny_run, packed, tmp_path):
    config, _ = tiny_run
    weights_file.unpack(config, str(tmp_path), packed)
    path = checkpoints.latest_checkpoint(str(tmp_path / "stage_two")) + ".index"
    before = os.stat(path).st_mtime_ns
    train(config, str(tmp_path))
    assert os.stat(path).st_mtime_ns == before


def test_a_run_is_not_overwritten(tiny_run, packed):
    with pytest.raises(ValueError, match="expected an empty folder.* --workdir"):
        weights_file.unpack(*tiny_run, packed)


def test_a_file_of_another_configuration_is_refused_without_leftovers(tiny_run, packed, tmp_path):
    config = tiny_run[0].copy_and_resolve_references()
    config.generator.base_width = 8
    with pytest.raises(ValueError, match=r"does not fit --config: expected the shape \(.*stage_one/generator/"):
        weights_file.unpack(config, str(tmp_path), packed)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("keep", [0, 100, -1000])
def test_a_damaged_file_is_refused(tiny_run, packed, tmp_path, keep):
    with open(packed, "rb") as file:
        content = file.read()
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(content[:keep])
    with pytest.raises(ValueError, match="damaged.npz can't be read: expected a complete file"):
        weights_file.unpack(tiny_run[0], str(tmp_path / "run"), str(damaged))


@pytest.mark.parametrize(
    "content",
    [{}, {"about": "3"}, {"about": "{}"}, {"about": "no"}, {"about": '{"data": {}, "phases": {"evaluator": {}}}'}],
)
def test_another_array_file_is_refused(tiny_run, tmp_path, content):
    np.savez(tmp_path / "other.npz", a=np.zeros(3), **content)
    with pytest.raises(ValueError, match="other.npz can't be read"):
        weights_file.unpack(tiny_run[0], str(tmp_path / "run"), str(tmp_path / "other.npz"))


def test_a_run_that_cannot_be_written_leaves_no_files(tiny_run, packed, tmp_path, monkeypatch):
    write = run_folder.write_json

    def fail_at_the_end(path, value):
        if path.endswith("data.json"):
            raise OSError(28, "No space left on device")
        write(path, value)

    monkeypatch.setattr(run_folder, "write_json", fail_at_the_end)
    with pytest.raises(OSError, match="No space left"):
        weights_file.unpack(tiny_run[0], str(tmp_path / "run"), packed)
    assert os.listdir(tmp_path) == []


def test_a_file_that_cannot_be_written_is_unchanged(tiny_run, tmp_path, monkeypatch):
    path = tmp_path / "run.npz"
    path.write_bytes(b"before")

    def fail(file, **_):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="run.npz could not be written: No space left on device. Free some .*unchanged"):
        weights_file.pack(*tiny_run, str(path))
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["run.npz"]
    with pytest.raises(FileNotFoundError, match="x.npz can't be written: its folder is missing"):
        weights_file.pack(*tiny_run, str(tmp_path / "none" / "x.npz"))


def test_missing_files_phases_and_arguments_are_refused(tiny_run, tmp_path):
    with pytest.raises(FileNotFoundError, match="none.npz is missing"):
        weights_file.unpack(tiny_run[0], str(tmp_path), str(tmp_path / "none.npz"))
    with pytest.raises(ValueError, match="No phase is finished in "):
        weights_file.pack(tiny_run[0], str(tmp_path), str(tmp_path / "x.npz"))
    with pytest.raises(ValueError, match="'pack FILE' or 'unpack FILE', got 'pack'"):
        weights.main(*tiny_run, ["pack"])


@pytest.mark.parametrize("action", [weights_file.pack, weights_file.unpack])
def test_an_invalid_path_is_refused(tiny_run, tmp_path, action):
    workdir = tiny_run[1] if action is weights_file.pack else str(tmp_path / "run")
    with pytest.raises(UserError, match="^FILE: expected a path, got an empty string"):
        action(tiny_run[0], workdir, "")
    with pytest.raises(UserError, match="^FILE: expected a path of this machine, got 'gs://runs/a.npz'"):
        action(tiny_run[0], workdir, "gs://runs/a.npz")


def test_an_existing_path_that_is_not_a_file_is_unchanged(tiny_run, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="fifo could not be written: it exists and is not a file"):
        weights_file.pack(*tiny_run, str(tmp_path / "fifo"))
    assert os.listdir(tmp_path) == ["fifo"] and (tmp_path / "fifo").is_fifo()


def test_an_unfinished_phase_is_left_out(tiny_run, packed, tmp_path):
    config, _ = tiny_run
    workdir = str(tmp_path / "run")
    weights_file.unpack(config, workdir, packed)
    os.remove(os.path.join(workdir, "stage_two", "finished.json"))
    path = str(tmp_path / "two.npz")
    assert weights_file.pack(config, workdir, path) == ["evaluator", "stage_one"]
    with np.load(path) as stored:
        assert set(json.loads(str(stored["about"]))["phases"]) == {"evaluator", "stage_one"}
        assert not any(key.startswith("stage_two/") for key in stored.files)
