"""Rehearses configs/cub.py or imagenet_folders.py on drawn images in the layout and numbers of the real data set.

CUB-200-2011 has 11,788 images of 200 classes. ImageNet has 1,281,167 training images of 1,000 classes, most of them
hard links here, and 200 of val/. The programs themselves check the data set, train every phase for some steps at the
configuration's image size, evaluate 200 images, and export. Each is a process of its own, so peaks of memory are apart.
A step includes the wait for its images; the first half of the steps, which make kernels, is not timed. The hours are
those of all epochs of the configuration at the measured rate. --batch_size makes batches fit in memory.

The images are small, so that drawing takes seconds; with --width=500 --height=375 decoding is as slow as that of
photographs. Weights are random unless --weights names a file. Everything is kept in --folder, and drawn images are used
again.

  python -m benchmarks.rehearsal --folder=runs/rehearsal
  python -m benchmarks.rehearsal --folder=runs/rehearsal_imagenet --data=imagenet --batch_size=8
"""
from __future__ import annotations

import concurrent.futures
import json
import multiprocessing
import os
import pathlib
import time
from collections.abc import Callable

from absl import app, flags
from ml_collections import ConfigDict

from benchmarks import _drawn_trees, _runs
from configs import cub, imagenet_folders

_FOLDER = flags.DEFINE_string("folder", None, "the folder of images and run", required=True)
_DATA = flags.DEFINE_enum("data", "cub", ("cub", "imagenet"), "the data set")
_IMAGES = flags.DEFINE_integer("images", 1281167, "training images of --data=imagenet", lower_bound=1000)
_STEPS = flags.DEFINE_integer("steps", 4, "steps of each phase", lower_bound=2)
_BATCH = flags.DEFINE_integer("batch_size", 0, "images in a batch of all phases; 0: those of the configuration")
_WEIGHTS = flags.DEFINE_string("weights", None, "VGG16's weights: imagenet or a file; default: random weights")
_WIDTH = flags.DEFINE_integer("width", 40, "width of the images in pixels", lower_bound=16)
_HEIGHT = flags.DEFINE_integer("height", 30, "height of the images in pixels", lower_bound=16)
_OPTIONS = flags.DEFINE_multi_string("option", [], "a further flag of the programs, such as --config.input.crop=64")
_EVALUATED = 200  # images: one of each class of CUB, which are held out, or those of val/


def main(_) -> None:
    """Prints the table."""
    folder = pathlib.Path(_FOLDER.value).absolute()
    root, workdir = folder / f"{_DATA.value}_{_WIDTH.value}x{_HEIGHT.value}", folder / "run"
    if workdir.exists():
        raise app.UsageError(f"--folder: expected no run in it, got {workdir}. Remove it or choose another folder.")
    if not root.exists():
        begin = time.perf_counter()
        draw(root)
        print(f"Drawn in {time.perf_counter() - begin:.0f} s.")
    if _DATA.value == "cub":
        config, images, data_options = cub.get_config(), len(_drawn_trees.cub_split(1)), cub_options(root)
    else:
        config, images, data_options = imagenet_folders.get_config(), _IMAGES.value, imagenet_options(root)
    options = [*data_options, *flags_of_run(config, root, images), *_OPTIONS.value]
    print(f"{'':<12}{'wall s':>8}{'peak MiB':>10}{'batch':>7}{'images/s':>10}{'waiting':>9}{'hours':>8}")
    report("check_data", workdir.with_name("check"), *data_options)
    hours = [train(config, index, workdir, images, options) for index in range(len(config.phase_order))]
    print(f"{'training':<12}{sum(hours):>52.1f}")
    for program in ("evaluate", "export"):
        report(program, workdir, *options)


def draw(root: pathlib.Path) -> None:
    """Draws the data set. Its folder gets its name when it is complete."""
    unfinished = root.with_name(f"{root.name}.unfinished")
    if _DATA.value == "cub":
        run_apart(_drawn_trees.draw_cub, unfinished, _WIDTH.value, _HEIGHT.value)
    else:
        size = _WIDTH.value, _HEIGHT.value
        run_apart(_drawn_trees.draw_imagenet, unfinished, *size, _IMAGES.value, _EVALUATED)
    unfinished.rename(root)


def run_apart(function: Callable, *arguments) -> None:
    """Calls a function in a process of its own: a program's peak of memory is never below that of its parent."""
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        pool.submit(function, *arguments).result()


def cub_options(root: pathlib.Path) -> list[str]:
    """Returns the flags that name the drawn CUB, with a held-out image of each class."""
    held_out = _EVALUATED // _drawn_trees.CUB_CLASSES
    options = {"dataset.options.root": root, "dataset.options.validation_per_class": held_out}
    return ["--config=configs/cub.py", *(f"--config.{key}={value}" for key, value in options.items())]


def imagenet_options(root: pathlib.Path) -> list[str]:
    """Returns the flags that name the parts of the drawn ImageNet."""
    files = {"root": "Data", "boxes": "Annotations"}
    files.update(val_labels=_drawn_trees.SOLUTION, synsets=_drawn_trees.SYNSETS)
    options = [f"--config.dataset.options.{option}={root / file}" for option, file in files.items()]
    return ["--config=configs/imagenet_folders.py", *options]


def flags_of_run(config: ConfigDict, root: pathlib.Path, images: int) -> list[str]:
    """Returns the flags of the run: start weights, few steps, and the evaluated split."""
    weights = _WEIGHTS.value
    if config.backbone.options.head == "fully_connected" and weights is None:
        weights = str(root / "vgg16.h5")  # nothing trains these dense layers, so they need start weights
        if not os.path.exists(weights):
            run_apart(_drawn_trees.write_random_vgg16, weights)
    is_cub = _DATA.value == "cub"
    options = [
        f"--config.backbone.options={dict(config.backbone.options, weights=weights)}",
        f"--config.training.steps_per_loop={(_STEPS.value + 1) // 2}",
        f"--config.evaluation.split={'validation' if is_cub else 'test'}",
    ]
    for name in config.phase_order:
        batch_size = _BATCH.value or config.phase[name].batch_size
        options.append(f"--config.phase.{name}.batch_size={batch_size}")
        if config.phase[name].epochs:
            steps_per_epoch = (images - _EVALUATED * is_cub) // batch_size
            options.append(f"--config.phase.{name}.epochs={_STEPS.value / steps_per_epoch}")
    return options


def train(config: ConfigDict, index: int, workdir: pathlib.Path, images: int, options: list[str]) -> float:
    """Trains a phase for some steps and prints its row; returns the hours of all its images at this rate."""
    name = config.phase_order[index]
    seconds, peak = measure("train", workdir, *options, *rows_of(config.phase_order[: index + 1]))
    if not config.phase[name].epochs:
        print(f"{name:<12}{seconds:>8.0f}{peak:>10.0f}   not trained", flush=True)
        return 0.0
    logged = json.loads((workdir / name / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    rate, waiting = logged["speed/images_per_second"], logged["speed/share_of_waiting"]
    hours = config.phase[name].epochs * images / rate / 3600
    batch_size = _BATCH.value or config.phase[name].batch_size
    print(f"{name:<12}{seconds:>8.0f}{peak:>10.0f}{batch_size:>7}{rate:>10.2f}{waiting:>9.0%}{hours:>8.1f}", flush=True)
    return hours


def rows_of(phases: tuple[str, ...]) -> list[str]:
    """Returns the flags that restrict an experiment to its first phases, and its rows to one of them."""
    flag_of = {"phase_order": phases, "evaluation.report_rows": ("centre_box",)}
    row = "grad_cam" if phases == ("evaluator",) and _DATA.value == "imagenet" else phases[-1]
    return [f"--config.{key}={value!r}" for key, value in flag_of.items()] + [f"--config.export.row={row}"]


def report(program: str, workdir: pathlib.Path, *options: str) -> None:
    """Runs a program and prints its row."""
    seconds, peak = measure(program, workdir, *options)
    print(f"{program:<12}{seconds:>8.0f}{peak:>10.0f}", flush=True)


def measure(program: str, workdir: pathlib.Path, *options: str) -> tuple[float, float]:
    """Runs a program; returns its wall time in seconds and its peak of resident memory in MiB."""
    begin = time.perf_counter()
    peak = _runs.run(program, workdir, *options)
    return time.perf_counter() - begin, peak


if __name__ == "__main__":
    app.run(main)
