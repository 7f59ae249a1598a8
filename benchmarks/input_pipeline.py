"""Times the training pipeline against bare decoding of the same files on the same cores, and shows the memory it takes.

The pipeline reads, checks, decodes, turns upright, resizes to 256, crops 224, flips and batches, with each cache. It is
compared with two loops that do nothing but read and decode: one of tf.data, in parallel as it likes, and one of Python,
image by image. All run alternately in one process; each figure is the median of `--repeats` runs of `--images`
images, before each of which some are taken that don't count: what was made in advance. A ratio above 1 means that
the pipeline is faster than bare decoding.

With --growth, instead: the most memory of a process that trains for an epoch, on all images and on ten times as many.

  python -m benchmarks.input_pipeline --data=cub10
"""
from __future__ import annotations

import itertools
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf
from absl import app, flags

from benchmarks import _memory
from ornet_tf.data import input_pipeline
from ornet_tf.data.source import Source

_DATA = flags.DEFINE_string("data", os.environ.get("ORNET_CUB10", ""), "folder with JPEGs, anywhere below it")
_IMAGES = flags.DEFINE_integer("images", 1600, "how many images to a run", lower_bound=1)
_REPEATS = flags.DEFINE_integer("repeats", 5, "how many runs of each side", lower_bound=1)
_BATCH = flags.DEFINE_integer("batch_size", 16, "images to a batch", lower_bound=1)
_GROWTH = flags.DEFINE_bool("growth", False, "show memory instead of time")
_CHILD = flags.DEFINE_string("child", "", "the cache whose memory this process shows; --growth starts such processes")
_COPIES = flags.DEFINE_integer("copies", 1, "how often such a process sees each image", lower_bound=1)
_FOLDER = flags.DEFINE_string("folder", "", "where such a process keeps the cache on disk")
_CACHES = ("none", "memory", "disk")
_UNCOUNTED = 256  # more than any side makes in advance


def files() -> list[str]:
    """Returns the paths of all JPEGs, in order."""
    return sorted(str(path) for path in pathlib.Path(_DATA.value).rglob("*.jp*g")) if _DATA.value else []


def pipeline(paths: list[str], cache: str, folder: str) -> Iterator[int]:
    """Yields the size of each training batch, endlessly."""
    names = [f"{i}" for i in range(len(paths))]
    batches = input_pipeline.training_batches(
        Source(["any"], paths, names, np.zeros(len(paths), int)), batch_size=_BATCH.value, seed=0, resize=256, crop=224,
        horizontal_flip=True, cache=cache, cache_dir=folder,
    )
    return (len(batch["label"]) for batch in batches)


def decoded_in_parallel(paths: list[str]) -> Iterator[int]:
    """Yields 1 for each image that tf.data has read and decoded, endlessly."""
    images = tf.data.Dataset.from_tensor_slices(paths).repeat().map(
        lambda path: tf.io.decode_jpeg(tf.io.read_file(path), channels=3), tf.data.AUTOTUNE
    )
    return (1 for _ in images)


def decoded_in_turn(paths: list[str]) -> Iterator[int]:
    """Yields 1 for each image that a Python loop has read and decoded, endlessly."""
    for path in itertools.cycle(paths):
        tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        yield 1


def take(counts: Iterator[int], images: int) -> int:
    """Takes at least so many images; returns how many."""
    taken = 0
    while taken < images:
        taken += next(counts)
    return taken


def compare(paths: list[str], folder: str) -> None:
    """Prints the table of speeds."""
    bare = {"tf.data decode loop": decoded_in_parallel(paths), "Python decode loop": decoded_in_turn(paths)}
    ours = {f"pipeline, cache {cache}": pipeline(paths, cache, folder) for cache in _CACHES}
    rates: dict[str, list[float]] = {name: [] for name in [*bare, *ours]}
    for _ in range(_REPEATS.value):
        for name, counts in {**bare, **ours}.items():
            take(counts, _UNCOUNTED)
            start = time.perf_counter()
            taken = take(counts, _IMAGES.value)
            rates[name].append(taken / (time.perf_counter() - start))
    median = {name: statistics.median(values) for name, values in rates.items()}
    print(f"{len(paths)} JPEGs, {len(os.sched_getaffinity(0))} cores, TensorFlow {tf.__version__}")
    print(f"{'':<24}{'images/s':>10}{'slowest':>10}{'fastest':>10}" + "".join(f"{f'/ {name}':>24}" for name in bare))
    for name, rate in median.items():
        ratios = "".join(f"{rate / median[other]:>24.2f}" for other in bare)
        print(f"{name:<24}{rate:>10.0f}{min(rates[name]):>10.0f}{max(rates[name]):>10.0f}{ratios}", flush=True)


def show_memory(paths: list[str], cache: str, folder: str) -> None:
    """Prints what an epoch takes: most memory, most of its own, files mapped at the end."""
    most, is_over = [0], threading.Event()

    def watch(anonymous: Callable[[], int]) -> None:
        while not is_over.wait(0.02):
            most[0] = max(most[0], anonymous())

    watcher = threading.Thread(target=watch, args=[lambda: _memory.of_process()["RssAnon"]])
    watcher.start()
    take(pipeline(paths, cache, folder), len(paths))
    is_over.set()
    watcher.join()
    now = _memory.of_process()
    print(now["VmHWM"], most[0], now["RssFile"])


def grow(paths: list[str], folder: str) -> None:
    """Prints the table of memory; each figure is of a process of its own."""
    print(f"{'cache':<8}{'images':>10}{'peak, MiB':>12}{'of its own':>12}{'of files':>12}{'cache, MiB':>12}")
    for cache in _CACHES:
        for copies in (1, 10):
            command = [sys.executable, "-m", "benchmarks.input_pipeline", f"--data={_DATA.value}", f"--child={cache}",
                       f"--copies={copies}", f"--folder={folder}", f"--batch_size={_BATCH.value}"]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            peak, own, mapped = map(int, done.stdout.split())
            count = len(paths) * copies
            held = 0 if cache == "none" else count * 256 * 256 * 3 // 2**20
            print(f"{cache:<8}{count:>10}{peak:>12}{own:>12}{mapped:>12}{held:>12}", flush=True)


def main(_) -> None:
    """Prints a table."""
    paths = files()
    if not paths:
        print("Skipped: no JPEGs. Name their folder with --data or in the environment variable ORNET_CUB10.")
        return
    if _CHILD.value:
        show_memory(paths * _COPIES.value, _CHILD.value, _FOLDER.value)
        return
    with tempfile.TemporaryDirectory() as folder:
        (grow if _GROWTH.value else compare)(paths, folder)


if __name__ == "__main__":
    app.run(main)
