"""Measures time and peak memory of a training step of each phase, and how they grow with batch, images and classes.

Each line is measured in a process of its own, with VGG16 and random weights, the real pipeline (no cache) and the real
step. One value differs from the base at a time: batch size, image size, number of classes, number of images, or
gradient accumulation. Ratios are to the base of the same phase.

  python -m benchmarks.training_memory
"""
from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile

import numpy as np
from absl import app, flags

_PHASES = flags.DEFINE_list("phases", ["evaluator", "stage_one", "stage_two"], "the phases")
_BATCH = flags.DEFINE_integer("batch", 8, "images in a batch, at the base", lower_bound=1)
_SIZE = flags.DEFINE_integer("size", 128, "side of the images in pixels, at the base", lower_bound=32)
_CLASSES = flags.DEFINE_integer("classes", 10, "classes, at the base", lower_bound=2)
_IMAGES = flags.DEFINE_integer("images", 400, "images in the data set, at the base", lower_bound=1)
_ACCUMULATE = flags.DEFINE_integer("gradient_accumulation", 1, "parts of a batch, at the base", lower_bound=1)
_TIMED_STEPS = flags.DEFINE_integer("steps", 4, "timed steps", lower_bound=1)
_FOLDER = flags.DEFINE_string("folder", "", "where a child process writes the file that all its images are read from")
_CHILD = flags.DEFINE_string("child", "", "the phase that a child process trains; empty in the parent")


def train_steps(phase: str) -> None:
    """Trains some steps and prints the seconds per step and the peak memory in MiB."""
    import tensorflow as tf

    from ornet_tf import build, config
    from ornet_tf.data import input_pipeline
    from ornet_tf.data.source import Source
    from ornet_tf.training import optimizers
    from ornet_tf.training.step import TrainingStep

    experiment = config.default()
    experiment.backbone.options.weights = None
    experiment.input.update({"resize": _SIZE.value, "crop": _SIZE.value})
    section = experiment.phase[phase]
    noise = np.random.default_rng(0).integers(0, 256, [300, 400, 3], np.uint8)
    path = os.path.join(_FOLDER.value, "noise.jpg")
    tf.io.write_file(path, tf.io.encode_jpeg(noise))
    count = _IMAGES.value
    names = [str(number) for number in range(count)]
    labels = np.arange(count) % _CLASSES.value
    source = Source([str(number) for number in range(_CLASSES.value)], [path] * count, names, labels)
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        method = build.build_method(experiment, section, _CLASSES.value)
        trained = optimizers.make_optimizers(method.trainable_variables, schedule=1e-4)
    step = TrainingStep(
        strategy, method, trained, section.losses.to_dict(), steps=100, batch_size=_BATCH.value,
        gradient_accumulation=_ACCUMULATE.value,
    )
    batches = strategy.distribute_datasets_from_function(
        lambda _: input_pipeline.training_batches(
            source, batch_size=_BATCH.value, seed=0, resize=_SIZE.value, crop=_SIZE.value, horizontal_flip=True
        )
    )
    iterator = iter(batches)
    step.run(iterator, 0, 2)
    done = step.run(iterator, 2, _TIMED_STEPS.value)
    print(done.seconds / _TIMED_STEPS.value, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def measure(phase: str, **changes: int) -> tuple[float, float]:
    """Returns the seconds per step and the peak memory in MiB of a process with changed values."""
    names = ("batch", "size", "classes", "images", "gradient_accumulation", "steps")
    values = {**{name: flags.FLAGS[name].value for name in names}, **changes}
    command = [sys.executable, "-m", "benchmarks.training_memory", f"--child={phase}"]
    command += [f"--{name}={value}" for name, value in values.items()]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([*command, f"--folder={folder}"], check=True, stdout=subprocess.PIPE, text=True)
    seconds, memory = map(float, done.stdout.split())
    return seconds, memory


def main(_) -> None:
    """Prints the table."""
    if _CHILD.value:
        train_steps(_CHILD.value)
        return
    print(
        f"Base: batches of {_BATCH.value}, {_SIZE.value} pixels, {_CLASSES.value} classes, {_IMAGES.value} images, "
        f"{_ACCUMULATE.value} part"
    )
    print(f"{'phase':<12}{'changed':<18}{'s a step':>10}{'ratio':>8}{'peak, MiB':>12}{'ratio':>8}", flush=True)
    for phase in _PHASES.value:
        base = measure(phase)
        print_row(phase, "base", base, base)
        for name, factor in (("batch", 2), ("size", 2), ("classes", 100), ("images", 10), ("gradient_accumulation", 4)):
            value = factor * flags.FLAGS[name].value
            print_row(phase, f"{name} {value}", measure(phase, **{name: value}), base)


def print_row(phase: str, changed: str, figures: tuple[float, float], base: tuple[float, float]) -> None:
    """Prints a row of the table."""
    seconds, memory = figures
    ratios = (seconds / base[0], memory / base[1])
    print(f"{phase:<12}{changed:<18}{seconds:>10.2f}{ratios[0]:>8.2f}{memory:>12.0f}{ratios[1]:>8.2f}", flush=True)


if __name__ == "__main__":
    app.run(main)
