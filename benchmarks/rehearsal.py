"""Rehearses configs/cub.py on drawn images in the layout and the numbers of CUB-200-2011.

Draws 11,788 images of 200 classes, 5,994 of them for training, with the lists of the real data set. The programs
themselves then train every phase for some steps, at the configuration's image size and batch size, evaluate 200 images
that are held out, and export. Each is a process of its own, so peaks of memory are apart. A step includes the wait for
its images; the first half of the steps, which make kernels, is not timed. The hours are those of all steps of the
configuration at the measured rate.

The images are small, so that drawing takes seconds; with --width=500 --height=375 decoding is as slow as that of
photographs. Weights are random unless --weights names a file. Everything is kept in --folder, and drawn images are used
again.

  python -m benchmarks.rehearsal --folder=runs/rehearsal
"""
from __future__ import annotations

import json
import pathlib
import time

import numpy as np
from absl import app, flags
from ml_collections import ConfigDict
from PIL import Image, ImageDraw

from benchmarks import _runs
from configs import cub

_FOLDER = flags.DEFINE_string("folder", None, "the folder of images and run", required=True)
_STEPS = flags.DEFINE_integer("steps", 4, "steps of each phase", lower_bound=2)
_WEIGHTS = flags.DEFINE_string("weights", None, "VGG16's weights: imagenet or a file; default: random weights")
_WIDTH = flags.DEFINE_integer("width", 40, "width of the images in pixels", lower_bound=16)
_HEIGHT = flags.DEFINE_integer("height", 30, "height of the images in pixels", lower_bound=16)
_OPTIONS = flags.DEFINE_multi_string("option", [], "a further flag of the programs, such as --config.input.crop=64")
_CLASSES = 200
_FULL = 194  # classes with 30 images for training and 29 for testing; the others have 29 and 28
_HELD_OUT = 1  # image of each class for evaluation


def images_of_split(split: int) -> list[int]:
    """Returns the class of each image for training (1) or testing (0), counted from 0."""
    return [label for label in range(_CLASSES) for _ in range(28 + split + (label < _FULL))]


def draw(label: int, rng: np.random.Generator, path: pathlib.Path) -> tuple[int, int, int, int]:
    """Draws noise and a disc in the colour of a class; returns the disc's x, y, width and height."""
    width, height = _WIDTH.value, _HEIGHT.value
    image = Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))
    side = int(rng.integers(min(width, height) // 3, min(width, height) // 2))
    x, y = int(rng.integers(0, width - side)), int(rng.integers(0, height - side))
    colour = (label * 37 % 256, label * 91 % 256, label * 151 % 256)
    ImageDraw.Draw(image).ellipse((x, y, x + side - 1, y + side - 1), fill=colour)
    image.save(path, "JPEG", quality=90)
    return x, y, side, side


def draw_data_set(root: pathlib.Path) -> int:
    """Draws the images and writes the lists; returns the number of images."""
    names = [f"{label + 1:03d}.Drawn_{label + 1}" for label in range(_CLASSES)]
    rng = np.random.default_rng(0)
    lists: dict[str, list[str]] = {
        "classes.txt": [f"{label + 1} {name}" for label, name in enumerate(names)],
        "images.txt": [], "image_class_labels.txt": [], "train_test_split.txt": [], "bounding_boxes.txt": [],
    }  # fmt: skip
    labels = sorted((label, split) for split in (0, 1) for label in images_of_split(split))
    for number, (label, split) in enumerate(labels, start=1):
        file = f"{names[label]}/drawn_{number:05d}.jpg"
        path = root / "images" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        box = draw(label, rng, path)
        lists["images.txt"].append(f"{number} {file}")
        lists["image_class_labels.txt"].append(f"{number} {label + 1}")
        lists["train_test_split.txt"].append(f"{number} {split}")
        lists["bounding_boxes.txt"].append(f"{number} " + " ".join(f"{value:.1f}" for value in box))
    for name, lines in lists.items():  # the last one tells that the images are complete
        (root / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(labels)


def main(_) -> None:
    """Prints the table."""
    folder = pathlib.Path(_FOLDER.value).absolute()
    root, workdir = folder / f"images_{_WIDTH.value}x{_HEIGHT.value}", folder / "run"
    if workdir.exists():
        raise app.UsageError(f"--folder: expected no run in it, got {workdir}. Remove it or choose another folder.")
    if not (root / "bounding_boxes.txt").exists():
        begin = time.perf_counter()
        print(f"{draw_data_set(root)} images drawn in {time.perf_counter() - begin:.0f} s.")
    config = cub.get_config()
    options = flags_of_run(config, root)
    print(f"{'':<12}{'wall s':>8}{'peak MiB':>10}{'s a step':>10}{'waiting':>9}{'all steps':>11}{'hours':>8}")
    hours = [train(config, index, workdir, options) for index in range(len(config.phase_order))]
    print(f"{'training':<12}{sum(hours):>56.1f}")
    for program in ("evaluate", "export"):
        seconds, peak = measure(program, workdir, *options)
        print(f"{program:<12}{seconds:>8.0f}{peak:>10.0f}", flush=True)


def flags_of_run(config: ConfigDict, root: pathlib.Path) -> list[str]:
    """Returns the flags of all programs: the drawn data set, few steps, and the held-out images for evaluation."""
    options = [
        "--config=configs/cub.py",
        f"--config.dataset.options.root={root}",
        f"--config.dataset.options.validation_per_class={_HELD_OUT}",
        f"--config.backbone.options={dict(config.backbone.options, weights=_WEIGHTS.value)}",
        f"--config.training.steps_per_loop={(_STEPS.value + 1) // 2}",
        "--config.evaluation.split=validation",
    ]
    for name in config.phase_order:
        steps_per_epoch = (len(images_of_split(1)) - _HELD_OUT * _CLASSES) // config.phase[name].batch_size
        options.append(f"--config.phase.{name}.epochs={_STEPS.value / steps_per_epoch}")
    return [*options, *_OPTIONS.value]


def train(config: ConfigDict, index: int, workdir: pathlib.Path, options: list[str]) -> float:
    """Trains a phase for some steps and prints its row; returns the hours of all its steps at this rate."""
    name = config.phase_order[index]
    seconds, peak = measure("train", workdir, *options, *rows_of(config.phase_order[: index + 1]))
    logged = json.loads((workdir / name / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    batch_size, waiting = config.phase[name].batch_size, logged["speed/share_of_waiting"]
    step = batch_size / logged["speed/images_per_second"]
    steps = round(config.phase[name].epochs * (len(images_of_split(1)) // batch_size))
    hours = step * steps / 3600
    print(f"{name:<12}{seconds:>8.0f}{peak:>10.0f}{step:>10.2f}{waiting:>9.0%}{steps:>11}{hours:>8.1f}", flush=True)
    return hours


def rows_of(phases: tuple[str, ...]) -> list[str]:
    """Returns the flags that restrict an experiment to its first phases, and its rows to one of them."""
    flag_of = {"phase_order": phases, "evaluation.report_rows": ("centre_box",)}
    return [f"--config.{key}={value!r}" for key, value in flag_of.items()] + [f"--config.export.row={phases[-1]}"]


def measure(program: str, workdir: pathlib.Path, *options: str) -> tuple[float, float]:
    """Runs a program; returns its wall time in seconds and its peak of resident memory in MiB."""
    begin = time.perf_counter()
    peak = _runs.run(program, workdir, *options)
    return time.perf_counter() - begin, peak


if __name__ == "__main__":
    app.run(main)
