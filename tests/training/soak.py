"""Kills a training run at random moments until it is finished, and compares it with an uninterrupted run.

Weights, optimizer states, metrics.jsonl and TensorBoard's series must be bit-identical.

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
    """Trains the tiny experiment in its own process.

    Args:
      workdir: the run's folder.
      *arguments: more flags.
      end_at: the process gets the signal when this path exists; "" for never.
      after: the process gets the signal after this number of seconds; 0 for never.
      number: the signal.

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


def stop_inside_window(monkeypatch) -> None:
    """Stops each phase of the tiny experiment after step 3, inside the window of steps 2 and 3."""
    run = TrainingStep.run

    def run_and_stop(self, iterator, first_step, count):
        if first_step == 2 and count == 2:
            self.stop()
        return run(self, iterator, first_step, count)

    monkeypatch.setattr(TrainingStep, "run", run_and_stop)


def differences(first: str, second: str) -> list[str]:
    """Returns a line for each difference between two runs."""
    found = []
    for phase in PHASES:
        folders = [os.path.join(workdir, phase) for workdir in (first, second)]
        for what, read in (
            ("checkpoint", _tensors), ("metrics.jsonl", _metrics), ("TensorBoard", _series),
        ):
            before, after = map(read, folders)
            keys = [key for key in sorted({*before, *after}) if before.get(key) != after.get(key)]
            found += [f"{phase} {what}: {key} differs" for key in keys]
    return found


def _tensors(folder: str) -> dict[str, bytes]:
    path = checkpoints.latest_checkpoint(folder)
    reader = tf.train.load_checkpoint(path)
    # The record contains times.
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
    """Prints each kill and the differences; exit status 1 if there are any."""
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
    """Trains without a kill; exits the program if that fails."""
    status, text = run(workdir, *epochs())
    if status:
        sys.exit(text)


def kill_until_done(workdir: str, seconds: float, kills: dict[str, int]) -> None:
    """Starts a run until it is finished, kills each start at a random moment within `seconds`, and counts the kills."""
    while True:
        status, text = run(workdir, *epochs(), after=random.uniform(0.25 * seconds, 0.95 * seconds))
        if status == 0:
            return
        if status != -signal.SIGKILL:
            sys.exit(text)
        unfinished = [name for name in PHASES if not run_folder.is_finished(os.path.join(workdir, name))]
        if unfinished:
            kills[unfinished[0]] += 1
            path = checkpoints.latest_checkpoint(os.path.join(workdir, unfinished[0]))
            print(f"kill {sum(kills.values())} in {unfinished[0]}, after {path and os.path.basename(path)}", flush=True)


def epochs() -> list[str]:
    """Returns flags that make a run long enough to be killed in all phases."""
    return [f"--config.phase.{phase}.epochs={_EPOCHS.value}" for phase in PHASES]


def report(first: str, second: str) -> None:
    """Prints the differences between two runs; exits the program if there are any."""
    found = differences(first, second)
    print("\n".join(found or ["weights, optimizer states, metrics and TensorBoard are bit-identical"]))
    if found:
        sys.exit(1)


if __name__ == "__main__":
    _KILLS = flags.DEFINE_integer("kills", 50, "number of kills", lower_bound=1)
    _EPOCHS = flags.DEFINE_float("epochs", 20.0, "epochs of each phase; an epoch has 6 steps", lower_bound=1.0)
    _SEED = flags.DEFINE_integer("seed", 0, "seed of the times of the kills")
    app.run(main)
