"""Kills a training run at random moments until it is done, and compares it with one that was left alone.

Weights, optimiser states, metrics.jsonl and TensorBoard's series have to be the same to the last bit.

  python -m tests.training.soak --kills=50
"""
from __future__ import annotations

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
import tensorflow as tf
from absl import app, flags

from ornet_tf.runs import checkpoints, run_folder
from ornet_tf.training.step import TrainingStep
from tests.training import tensorboard_readers

ROOT = pathlib.Path(__file__).resolve().parents[2]
PHASES = ("evaluator", "stage_one", "stage_two")


def run(workdir, *arguments: str, end_at: str = "", after: float = 0.0, number: int = signal.SIGKILL):
    """Trains the tiny experiment in a process of its own.

    Args:
      workdir: the run's folder.
      *arguments: more flags.
      end_at: the path whose appearance ends the process, if any.
      after: the seconds after which the process is ended, if any.
      number: the signal that ends it.

    Returns:
      (exit status, standard error); the status is minus the signal that killed it.
    """
    command = [sys.executable, "-m", "ornet_tf.train", "--config=tests/tiny_experiment.py", f"--workdir={workdir}"]
    with tempfile.TemporaryFile("w+") as errors, subprocess.Popen(
        [*command, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=errors
    ) as process:
        begin = time.monotonic()
        while process.poll() is None:
            if (end_at and os.path.exists(end_at)) or (after and time.monotonic() - begin > after):
                process.send_signal(number)
                process.wait()
            time.sleep(0.002)
        errors.seek(0)
        return process.returncode, errors.read()


def end_in_the_middle(monkeypatch) -> None:
    """Lets pytest's `monkeypatch` end the tiny experiment's phases after step 3, in the window of steps 2 and 3."""
    run = TrainingStep.run

    def stopped(self, iterator, first_step, count):
        if first_step == 2 and count == 2:
            self.stop()
        return run(self, iterator, first_step, count)

    monkeypatch.setattr(TrainingStep, "run", stopped)


def differences(first: str, second: str) -> list[str]:
    """Returns a line for each thing in which two runs differ that are to be the same."""
    found = []
    for phase in PHASES:
        folders = [os.path.join(workdir, phase) for workdir in (first, second)]
        for what, read in (
            ("checkpoint", _tensors), ("metrics.jsonl", _metrics), ("TensorBoard", _series),
        ):
            one, other = map(read, folders)
            keys = [key for key in sorted({*one, *other}) if one.get(key) != other.get(key)]
            found += [f"{phase} {what}: {key} differs" for key in keys]
    return found


def _tensors(folder: str) -> dict[str, bytes]:
    path = checkpoints.latest_checkpoint(folder)
    reader = tf.train.load_checkpoint(path)
    # The record holds a clock.
    names = [name for name, _ in tf.train.list_variables(path) if not name.startswith(("_CHECKPOINTABLE", "record"))]
    return {name: np.asarray(reader.get_tensor(name)).tobytes() for name in names}


def _metrics(folder: str) -> dict[str, dict[str, float]]:
    with open(os.path.join(folder, "metrics.jsonl"), encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return {
        f"line {number}": {key: value for key, value in row.items() if not key.startswith("speed/")}
        for number, row in enumerate(rows)
    }


def _series(folder: str) -> dict[str, list]:
    # hyper-parameters have a start time
    series = tensorboard_readers.digests(os.path.join(folder, "tensorboard"))
    return {tag: values for tag, values in series.items() if not tag.startswith(("speed/", "_hparams_"))}


def main(_) -> None:
    """Prints each kill, then what differs; exit status 1 if anything does."""
    random.seed(_SEED.value)
    with tempfile.TemporaryDirectory() as folder:
        begin = time.monotonic()
        train_to_the_end(os.path.join(folder, "alone"))
        seconds, kills = time.monotonic() - begin, dict.fromkeys(PHASES, 0)
        for number in range(_KILLS.value):
            killed = os.path.join(folder, f"killed-{number}")
            kill_until_done(killed, seconds, kills)
            report(os.path.join(folder, "alone"), killed)
            print(kills, flush=True)
            if sum(kills.values()) >= _KILLS.value:
                return


def train_to_the_end(workdir: str) -> None:
    """Trains without a kill; ends the program if that fails."""
    status, text = run(workdir, *epochs())
    if status:
        sys.exit(text)


def kill_until_done(workdir: str, seconds: float, kills: dict[str, int]) -> None:
    """Starts a run again and again, kills each start at a random moment of the `seconds` of a whole run, and counts."""
    while True:
        status, text = run(workdir, *epochs(), after=random.uniform(0.25 * seconds, 0.95 * seconds))
        if status == 0:
            return
        if status != -signal.SIGKILL:
            sys.exit(text)
        ends = [name for name in PHASES if not run_folder.is_finished(os.path.join(workdir, name))]
        if ends:
            kills[ends[0]] += 1
            path = checkpoints.latest_checkpoint(os.path.join(workdir, ends[0]))
            print(f"kill {sum(kills.values())} in {ends[0]}, after {path and os.path.basename(path)}", flush=True)


def epochs() -> list[str]:
    """Returns the flags that make a run long enough to be killed in all phases."""
    return [f"--config.phase.{phase}.epochs={_EPOCHS.value}" for phase in PHASES]


def report(first: str, second: str) -> None:
    """Prints what differs between two runs; ends the program if anything does."""
    found = differences(first, second)
    print("\n".join(found or ["weights, optimiser states, metrics and TensorBoard are the same to the last bit"]))
    if found:
        sys.exit(1)


if __name__ == "__main__":
    _KILLS = flags.DEFINE_integer("kills", 50, "how often the run is killed", lower_bound=1)
    _EPOCHS = flags.DEFINE_float("epochs", 20.0, "epochs of each phase, of 6 steps", lower_bound=1.0)
    _SEED = flags.DEFINE_integer("seed", 0, "of the moments of the kills")
    app.run(main)
