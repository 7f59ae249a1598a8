"""Compares exports of a trained run for CPUs and for GPUs (config.export.optimize_for) on this machine.

Prints their sizes, the time of an image and the largest difference of their boxes and scores over all images of the
test split. Both exports run alternately in one process, with decoding; each time is the median of `--rounds` calls.
They are written to a temporary folder.

  ORNET_CUB10=FOLDER python -m benchmarks.export_devices --config=configs/cub10.py --workdir=runs/cub10
"""
from __future__ import annotations

import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from absl import app, flags
from ml_collections import config_flags

from ornet_tf.data import loading
from ornet_tf.inference import localizer, saved_model

_CONFIG = config_flags.DEFINE_config_file("config", None, "the experiment")
_WORKDIR = flags.DEFINE_string("workdir", None, "folder of the trained run")
_BATCHES = flags.DEFINE_multi_integer("batch", [1, 8], "images in a call; can be given several times", lower_bound=1)
_ROUNDS = flags.DEFINE_integer("rounds", 9, "calls of each export", lower_bound=1)
_DEVICES = ("gpu", "cpu")


def export(folder: str) -> dict[str, str]:
    """Returns device -> the path of the export for it."""
    paths = {}
    for device in _DEVICES:
        paths[device] = os.path.join(folder, device)
        model = localizer.load(_CONFIG.value, _WORKDIR.value, for_cpu=device == "cpu")
        saved_model._save(model, {"optimized_for": device}, paths[device])
        size = sum(file.stat().st_size for file in pathlib.Path(paths[device]).rglob("*") if file.is_file())
        print(f"export for a {device}: {size / 1e6:.1f} MB", flush=True)
    return paths


def compare_times(models: Mapping[str, tf.Module], files: list[bytes], signature: str) -> None:
    """Prints the milliseconds of an image in each export, and their ratio."""
    times: dict[str, list[float]] = {device: [] for device in models}
    for number in range(-1, _ROUNDS.value):  # the first call of each is not counted
        for device, model in models.items():
            begin = time.perf_counter()
            model.signatures[signature](image_bytes=tf.constant(files))["detection_boxes"].numpy()
            times[device] += [(time.perf_counter() - begin) * 1000 / len(files)] * (number >= 0)
    gpu, cpu = (times[device] for device in _DEVICES)
    ratio = statistics.median(a / b for a, b in zip(gpu, cpu))
    figures = f"{statistics.median(gpu):>12.1f}{statistics.median(cpu):>12.1f}{ratio:>10.2f}"
    print(f"{signature:<18}{len(files):>6}{figures} ({min(cpu):.1f} to {max(cpu):.1f})", flush=True)


def compare_outputs(models: Mapping[str, tf.Module], files: list[bytes]) -> None:
    """Prints the largest difference of the boxes and of the scores of both exports."""
    largest = {"detection_boxes": 0.0, "detection_scores": 0.0}
    for start in range(0, len(files), 8):
        batch = tf.constant(files[start : start + 8])
        gpu, cpu = (models[device].signatures["serving_default"](image_bytes=batch) for device in _DEVICES)
        for name in largest:
            largest[name] = max(largest[name], np.abs(gpu[name] - cpu[name]).max())
    print(f"largest difference on {len(files)} images: {', '.join(f'{k} {v:.1e}' for k, v in largest.items())}")


def main(_) -> None:
    """Prints a table, and the largest differences."""
    images = loading.load_split(_CONFIG.value, _CONFIG.value.evaluation.split).images
    files = [image if isinstance(image, bytes) else pathlib.Path(image).read_bytes() for image in images]
    with tempfile.TemporaryDirectory() as folder:
        models = {device: tf.saved_model.load(path) for device, path in export(folder).items()}
        print(f"{'signature':<18}{'batch':>6}{'gpu, ms':>12}{'cpu, ms':>12}{'gpu/cpu':>10}")
        for signature in ("localize", "serving_default"):
            for batch in _BATCHES.value:
                compare_times(models, files[:batch], signature)
        compare_outputs(models, files)


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "workdir"])
    app.run(main)
