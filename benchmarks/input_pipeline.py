"""Times the training pipeline against plain decoding of the same files on the same cores, or measures its memory.

The pipeline reads, checks, decodes, turns upright, resizes to 256, crops 224, flips and batches, with each cache. It is
compared with two loops that only read and decode: one of tf.data, in parallel, and one of Python, image by image. All
run alternately in one process. Each figure is the median of `--repeats` runs of `--images` images; images that were
prefetched before a run are not counted. A ratio above 1 means that the pipeline is faster than plain decoding.

With --growth it prints the peak memory of a process that reads one epoch, of all images and of ten times as many.

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
_IMAGES = flags.DEFINE_integer("images", 1600, "images in a run", lower_bound=1)
_REPEATS = flags.DEFINE_integer("repeats", 5, "runs of each side", lower_bound=1)
_BATCH = flags.DEFINE_integer("batch_size", 16, "images in a batch", lower_bound=1)
_GROWTH = flags.DEFINE_bool("growth", False, "measure memory instead of time")
_CHILD = flags.DEFINE_string("child", "", "the cache that a child process measures; --growth starts such processes")
_COPIES = flags.DEFINE_integer("copies", 1, "how often a child process reads each image", lower_bound=1)
_FOLDER = flags.DEFINE_string("folder", "", "where a child process stores the cache on disk")
_CACHES = ("none", "memory", "disk")
_UNCOUNTED = 256  # more images than any side prefetches


def find_files() -> list[str]:
    """Returns the sorted paths of all JPEGs."""
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
    """Yields 1 for each image that tf.data reads and decodes, endlessly."""
    images = tf.data.Dataset.from_tensor_slices(paths).repeat().map(
        lambda path: tf.io.decode_jpeg(tf.io.read_file(path), channels=3), tf.data.AUTOTUNE
    )
    return (1 for _ in images)


def decoded_in_sequence(paths: list[str]) -> Iterator[int]:
    """Yields 1 for each image that a Python loop reads and decodes, endlessly."""
    for path in itertools.cycle(paths):
        tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        yield 1


def consume(counts: Iterator[int], images: int) -> int:
    """Reads from `counts` until at least `images` images have come; returns their number."""
    number = 0
    while number < images:
        number += next(counts)
    return number


def compare(paths: list[str], folder: str) -> None:
    """Prints the table of speeds."""
    loops = {"tf.data decode loop": decoded_in_parallel(paths), "Python decode loop": decoded_in_sequence(paths)}
    ours = {f"pipeline, cache {cache}": pipeline(paths, cache, folder) for cache in _CACHES}
    rates: dict[str, list[float]] = {name: [] for name in [*loops, *ours]}
    for _ in range(_REPEATS.value):
        for name, counts in {**loops, **ours}.items():
            consume(counts, _UNCOUNTED)
            start = time.perf_counter()
            number = consume(counts, _IMAGES.value)
            rates[name].append(number / (time.perf_counter() - start))
    median = {name: statistics.median(values) for name, values in rates.items()}
    print(f"{len(paths)} JPEGs, {len(os.sched_getaffinity(0))} cores, TensorFlow {tf.__version__}")
    print(f"{'':<24}{'images/s':>10}{'slowest':>10}{'fastest':>10}" + "".join(f"{f'/ {name}':>24}" for name in loops))
    for name, rate in median.items():
        ratios = "".join(f"{rate / median[loop]:>24.2f}" for loop in loops)
        print(f"{name:<24}{rate:>10.0f}{min(rates[name]):>10.0f}{max(rates[name]):>10.0f}{ratios}", flush=True)


def measure_memory(paths: list[str], cache: str, folder: str) -> None:
    """Reads one epoch and prints MiB: peak memory, peak of anonymous memory, and files that are mapped at the end."""
    peak, is_over = [0], threading.Event()

    def watch(anonymous: Callable[[], int]) -> None:
        while not is_over.wait(0.02):
            peak[0] = max(peak[0], anonymous())

    watcher = threading.Thread(target=watch, args=[lambda: _memory.read_memory()["RssAnon"]])
    watcher.start()
    consume(pipeline(paths, cache, folder), len(paths))
    is_over.set()
    watcher.join()
    now = _memory.read_memory()
    print(now["VmHWM"], peak[0], now["RssFile"])


def compare_memory(paths: list[str], folder: str) -> None:
    """Prints the table of memory; each line is measured in a process of its own."""
    print(f"{'cache':<8}{'images':>10}{'peak, MiB':>12}{'anonymous':>12}{'files':>12}{'cache, MiB':>12}")
    for cache in _CACHES:
        for copies in (1, 10):
            command = [sys.executable, "-m", "benchmarks.input_pipeline", f"--data={_DATA.value}", f"--child={cache}",
                       f"--copies={copies}", f"--folder={folder}", f"--batch_size={_BATCH.value}"]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            peak, anonymous, mapped = map(int, done.stdout.split())
            count = len(paths) * copies
            cached = 0 if cache == "none" else count * 256 * 256 * 3 // 2**20
            print(f"{cache:<8}{count:>10}{peak:>12}{anonymous:>12}{mapped:>12}{cached:>12}", flush=True)


def main(_) -> None:
    """Prints a table."""
    paths = find_files()
    if not paths:
        print("Skipped: no JPEGs. Set their folder with --data or the environment variable ORNET_CUB10.")
        return
    if _CHILD.value:
        measure_memory(paths * _COPIES.value, _CHILD.value, _FOLDER.value)
        return
    with tempfile.TemporaryDirectory() as folder:
        (compare_memory if _GROWTH.value else compare)(paths, folder)


if __name__ == "__main__":
    app.run(main)
