"""A data set and its shards, made by the program, give the same batches; runs and errors of the program."""
import itertools
import json
import multiprocessing
import pathlib
import signal
import time

import numpy as np
import pytest

from ornet_tf.data import check_report, loading
from ornet_tf.data.source import read_encoded
from ornet_tf.datasets import shards
from ornet_tf.runs import run_folder
from ornet_tf.training import phases
from tests import forked_programs, small_disk, tiny_experiment

CONFIG = "--config=tests/tiny_experiment.py"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The configurations of the tiny experiment and of its shards, which the program has written."""
    folder = tmp_path_factory.mktemp("made") / "shards"
    command = ["ornet_tf.datasets", "shard", CONFIG, f"--output={folder}", "--images_per_shard=20"]
    (status, text), (again, _) = forked_programs.run([command, command])
    assert status == again == 0, text
    config, sharded = tiny_experiment.get_config(), tiny_experiment.get_config()
    sharded.dataset = {"name": "shards", "options": {"root": str(folder)}}
    return config, sharded, folder


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_every_split_has_the_same_images_and_ground_truth(made, split):
    source, copy = (loading.load_source(config, split) for config in made[:2])
    assert [read_encoded(image) for image in copy.images] == [read_encoded(image) for image in source.images]
    assert (copy.names, list(copy.class_names)) == (source.names, list(source.class_names))
    np.testing.assert_array_equal(copy.labels, source.labels)
    assert (copy.boxes is None) == (source.boxes is None) and (copy.masks is None) == (source.masks is None)
    if source.boxes is not None:
        np.testing.assert_array_equal(copy.padded_boxes(), source.padded_boxes())


def test_evaluation_batches_are_equal(made):
    first, second = (
        list(loading.evaluation_batches(config, loading.load_split(config, "test")).as_numpy_iterator())
        for config in made[:2]
    )
    assert len(first) == len(second) > 1
    for batch, other in itertools.zip_longest(first, second):
        assert set(batch) == set(other) and "mask" in batch
        assert all(np.array_equal(batch[key], other[key]) for key in batch)


def test_the_check_finds_no_problem_and_names_a_damaged_record(made):
    report = check_report.check_splits(made[1], duplicates=True)
    assert report["problems"] == 0
    record = loading.load_source(made[1], "validation").images[4]
    with open(record.file, "r+b") as file:
        file.seek(record.offset + 20)
        content = file.read(2)
        file.seek(record.offset + 20)
        file.write(bytes(255 - byte for byte in content))
        file.flush()
        broken = check_report.check_splits(made[1], ["validation"])["splits"]["validation"]["broken"]
        file.seek(record.offset + 20)
        file.write(content)
    name = loading.load_source(made[1], "validation").names[4]
    assert broken == [{"name": name, "reason": "damaged record of a shard"}]


@pytest.mark.slow
def test_a_killed_and_resumed_training_has_the_losses_of_one_with_single_files(made, tmp_path):
    losses = []
    for name, config in zip(("files", "shards"), made[:2]):
        config = config.copy_and_resolve_references()
        config.phase_order = ("evaluator",)
        config.input.cache = "none"
        if name == "shards":
            kill_training(config, str(tmp_path / name))
        phases.train(config, str(tmp_path / name))
        losses.append((tmp_path / name / "evaluator" / "metrics.jsonl").read_text().splitlines()[-1])
    assert without_times(losses[0]) == without_times(losses[1])


def kill_training(config, workdir):
    """Trains in another process, which is killed at its second step."""
    process = multiprocessing.get_context("spawn").Process(target=phases.train, args=(config, workdir))
    process.start()
    checkpoint = pathlib.Path(workdir, "evaluator", "checkpoints", "step-2.index")
    while not checkpoint.exists():
        assert process.is_alive()
        time.sleep(0.001)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL and not run_folder.is_finished(f"{workdir}/evaluator")


def without_times(line):
    return {key: value for key, value in json.loads(line).items() if "loss" in key or key == "step"}


def test_a_negative_piece_is_refused(made):
    with pytest.raises(ValueError, match="images_per_piece to be at least 0, got -1"):
        shards.load("train", root=made[2], images_per_piece=-1)


def test_the_program_explains_a_foreign_folder_and_a_missing_output(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    command = ["ornet_tf.datasets", "shard", CONFIG]
    (status, text), (missing, usage) = forked_programs.run([[*command, f"--output={tmp_path}"], command])
    assert status == 1 and missing == 1
    assert f"Error: {tmp_path}: expected a new or empty folder, got 'mine.txt' in it." in text
    assert "--output" in usage and "Traceback" not in usage + text


@pytest.mark.slow
def test_a_disk_that_becomes_full_is_one_sentence_and_the_next_run_continues(made, tmp_path):
    # Each file takes whole pages of this disk, so the space seems enough at the start, and is not.
    size = sum(path.stat().st_size for path in made[2].glob("*.tfrecord")) + 12000
    command = ["-m", "ornet_tf.datasets", "shard", CONFIG, f"--output={tmp_path / 'shards'}", "--images_per_shard=4"]
    done = small_disk.run_twice(command, tmp_path / "shards", str(size))
    error = [line for line in done.first if line.startswith("Error: ")]
    assert done.first_status == 1 and len(error) == 1, done.first
    assert "could not be written: No space left on device. Free some space" in error[0]
    names = [file.name for file in done.files]
    assert 5 < len(names) < 26 and not [name for name in names if name.endswith(".partial")]
    assert done.second_status == 0, done.second
    config = made[1].copy_and_resolve_references()
    config.dataset.options.root = str(done.saved)
    for split in ("train", "validation", "test"):
        source, copy = (loading.load_source(one, split) for one in (made[0], config))
        assert [read_encoded(image) for image in copy.images] == [read_encoded(image) for image in source.images]
