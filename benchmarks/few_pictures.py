"""Measures time and peak memory of training with configs/few_pictures.py, and how they grow with the images.

Each line is a run of `python -m ornet_tf.train` in a process of its own, with all that belongs to it: start, checks of
the images, cached features, the three phases, previews and checkpoints. The images are those of a folder of class
folders; more are made by linking them again under other names. Times are compared with one forward pass of VGG16 over
both views of all images, measured in the same run.

  ORNET_VGG16=FILE python -m benchmarks.few_pictures --data=cub10/images --images=300 --images=900
"""
from __future__ import annotations

import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from absl import app, flags

from benchmarks import _memory

_DATA = flags.DEFINE_string("data", "", "folder of class folders with JPEGs; default: images of ORNET_CUB10")
_IMAGES = flags.DEFINE_multi_integer("images", [300], "images to train on; can be given several times", lower_bound=16)
_PHASES = ("evaluator", "stage_one", "stage_two")


def link_images(folder: pathlib.Path, count: int) -> None:
    """Fills class folders with links to `count` images, alternating between the classes."""
    data = pathlib.Path(_DATA.value or os.path.join(os.environ["ORNET_CUB10"], "images"))
    classes = [sorted(path.glob("*.jp*g")) for path in sorted(data.iterdir()) if path.is_dir()]
    endless = [itertools.cycle(files) for files in classes]
    for number, files in zip(range(count), itertools.cycle(endless)):
        source = next(files)
        target = folder / source.parent.name / f"{number:06d}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source.resolve())


def seconds_of_forward_pass() -> float:
    """Returns the seconds of a forward pass of VGG16 for an image, in batches of 8."""
    import tensorflow as tf

    from ornet_tf.backbones import vgg16

    _, lower, upper, _ = vgg16.build(image_size=224, num_classes=10, weights=None)
    images = tf.random.normal([8, 224, 224, 3])
    run = tf.function(lambda: upper(lower(images, training=False), training=False)["logits"])
    run()
    start = time.perf_counter()
    for _ in range(5):
        run().numpy()
    return (time.perf_counter() - start) / 40


def train(images: pathlib.Path, workdir: pathlib.Path) -> tuple[float, int]:
    """Runs the program; returns its seconds and its peak memory in MiB."""
    command = [sys.executable, "-m", "ornet_tf.train", "--config=configs/few_pictures.py", f"--workdir={workdir}",
               f"--config.dataset.options.root={images}"]
    if "ORNET_VGG16" in os.environ:
        command.append(f"--config.backbone.options.weights={os.environ['ORNET_VGG16']}")
    start, peak = time.perf_counter(), 0
    with open(workdir.with_suffix(".log"), "wb") as log, subprocess.Popen(command, stderr=log) as process:
        while process.poll() is None:
            time.sleep(0.2)
            try:
                peak = max(peak, _memory.read_memory(process.pid)["VmHWM"])
            except (OSError, KeyError):
                break  # it has just ended
    if process.returncode:
        sys.exit(f"The run failed:\n{workdir.with_suffix('.log').read_text(encoding='utf-8')[-2000:]}")
    return time.perf_counter() - start, peak


def main(_) -> None:
    """Prints the table."""
    if not (_DATA.value or "ORNET_CUB10" in os.environ):
        print("Skipped: no images. Set their folder with --data or the environment variable ORNET_CUB10.")
        return
    forward = seconds_of_forward_pass()
    print(f"VGG16's forward pass: {forward * 1000:.0f} ms an image")
    print(f"{'images':<8}{'s':>8}{'/ passes':>10}{'peak, MiB':>11}"
          + "".join(f"{f'{name}, s of steps':>24}" for name in _PHASES), flush=True)
    for count in _IMAGES.value:
        with tempfile.TemporaryDirectory() as folder:
            images, workdir = pathlib.Path(folder, "images"), pathlib.Path(folder, "run")
            link_images(images, count)
            seconds, peak = train(images, workdir)
            facts = [json.loads((workdir / name / "finished.json").read_text(encoding="utf-8")) for name in _PHASES]
        row = f"{count:<8}{seconds:>8.0f}{seconds / (2 * count * forward):>10.2f}{peak:>11}"
        print(row + "".join(f"{fact['seconds_of_steps']:>24.1f}" for fact in facts), flush=True)


if __name__ == "__main__":
    app.run(main)
