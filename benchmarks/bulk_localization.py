"""Compares `localize_many` with a loop over `ornet_tf.load(...).localize`, and reads the memory of its workers.

The export is VGG16, or the backbone of --config, with random weights; the images are JPEGs of 500x375 pixels under
many names. The loop runs in this process with TensorFlow's threads for all cores; the program divides the same cores
among 1 and 2 workers. Each run of the program is between two loops, and the median of the ratios counts. Its rows/s
are counted once every worker has finished two parts, so the start of Ray and TensorFlow is left out, and printed
apart. It needs Ray: pip install '.[many]'.

  python -m benchmarks.bulk_localization
  python -m benchmarks.bulk_localization --config=configs/toybirds.py --size=32 --images=100000 --workers=1 --rounds=1
"""
from __future__ import annotations

import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

from absl import app, flags, logging
from ml_collections import config_flags

import ornet_tf
from benchmarks import _memory, _untrained
from ornet_tf import config

_CONFIG = config_flags.DEFINE_config_file("config", None, "an experiment; by default the paper's, with VGG16")
_SIZE = flags.DEFINE_integer("size", 64, "side of the view in pixels, a multiple of 32", lower_bound=32)
_IMAGES = flags.DEFINE_integer("images", 10000, "images that the program localizes", lower_bound=1)
_LOOP_IMAGES = flags.DEFINE_integer("loop_images", 1000, "images of each loop", lower_bound=1)
_WORKERS = flags.DEFINE_multi_integer("workers", [1, 2], "worker processes; can be given several times", lower_bound=1)
_PART = flags.DEFINE_integer("part_size", 1000, "images of an output file", lower_bound=1)
_ROUNDS = flags.DEFINE_integer("rounds", 3, "runs of the program, each between two loops", lower_bound=1)
_BATCH = 32
_DIFFERENT = 20
_LINES = 10  # of memory


def write_images(folder: pathlib.Path) -> list[str]:
    """Writes the different files once and links the other names to them; returns the names."""
    folder.mkdir()
    for i, file in enumerate(_untrained.jpegs(_DIFFERENT)):
        (folder.parent / f"{i}.jpg").write_bytes(file)
    paths = [folder / f"{i:07d}.jpg" for i in range(_IMAGES.value)]
    for i, path in enumerate(paths):
        os.link(folder.parent / f"{i % _DIFFERENT}.jpg", path)
    return [str(path) for path in paths]


class Rate(NamedTuple):
    """Images a second, and the CPU time of an image in milliseconds, which other work on the machine changes less."""

    images: float
    milliseconds: float

    def __str__(self) -> str:
        return f"{self.images:.1f} images/s, {self.milliseconds:.2f} ms of CPU time each"


def loop(model, paths: list[str]) -> Rate:
    """Measures a loop in this process."""
    begin, cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(paths), _BATCH):
        model.localize(paths[start : start + _BATCH], batch_size=_BATCH)
    images = max(len(paths), 1)
    return Rate(images / (time.perf_counter() - begin), (time.process_time() - cpu) * 1000 / images)


def read_workers() -> tuple[list[dict[str, int]], float]:
    """Returns the memory of each worker on this machine, and the seconds of CPU time of all."""
    memory, ticks = [], 0
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if "MapWorker" in path.read_text():
                memory.append(_memory.read_memory(path.parent.name))
                ticks += sum(map(int, path.with_name("stat").read_text().rpartition(")")[2].split()[11:13]))
        except (OSError, KeyError):  # it has ended
            continue
    return memory, ticks / os.sysconf("SC_CLK_TCK")


def run(export: pathlib.Path, photos: pathlib.Path, output: pathlib.Path, workers: int) -> Rate:
    """Measures the program, and prints the memory of its workers."""
    command = [sys.executable, "-m", "ornet_tf.localize_many", f"--export={export}", f"--input={photos}"]
    command += [f"--output={output}", f"--workers={workers}", f"--part_size={_PART.value}", f"--batch_size={_BATCH}"]
    parts = -(-_IMAGES.value // _PART.value)
    begin, line, looks = time.time(), 0, []
    with open(f"{output}.log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        while process.poll() is None:
            time.sleep(0.2)
            done = len(list(output.glob("detections/*.parquet")))
            memory, cpu = read_workers()
            if done >= 2 * workers and len(memory) == workers:
                looks.append((done * _PART.value, cpu))
            if done * _LINES >= (line + 1) * parts:
                line = done * _LINES // parts
                sizes = ", ".join(f"{size['VmRSS']} (peak {size['VmHWM']})" for size in memory)
                print(f"  {done * _PART.value:>8} images: resident memory of workers in MiB: {sizes}", flush=True)
    if process.returncode or len(looks) < 2:
        sys.exit(pathlib.Path(f"{output}.log").read_text(encoding="utf-8")[-2000:])
    times = sorted(path.stat().st_mtime for path in output.glob("detections/*.parquet"))
    first = min(2 * workers, parts - 1) - 1
    print(f"  {times[0] - begin:.1f} s until the first {_PART.value} images are written")
    cpu = (looks[-1][1] - looks[0][1]) * 1000 / max(looks[-1][0] - looks[0][0], 1)
    return Rate((parts - 1 - first) * _PART.value / (times[-1] - times[first]), cpu)


def main(_) -> None:
    """Prints rows/s and their ratios."""
    logging.set_verbosity(logging.WARNING)
    experiment = _CONFIG.value or config.default()
    with tempfile.TemporaryDirectory() as text:
        folder = pathlib.Path(text)
        _, untrained = _untrained.method_and_localizer(experiment, _SIZE.value, 10)
        _untrained.save(untrained, str(folder / "export" / "1"))
        paths = write_images(folder / "photos")[: _LOOP_IMAGES.value]
        model = ornet_tf.load(folder / "export")
        loop(model, paths[:_BATCH])  # builds the graph
        before = loop(model, paths)
        for workers in _WORKERS.value:
            print(f"{workers} workers", flush=True)
            ratios = []
            for number in range(_ROUNDS.value):
                rate = run(folder / "export", folder / "photos", folder / f"out-{workers}-{number}", workers)
                after = loop(model, paths)
                ratios.append(2 * rate.images / (before.images + after.images))
                print(f"  {rate}; the loop before: {before}; after: {after}", flush=True)
                before = after
            each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
            print(f"  images/s, program / loop: {statistics.median(ratios):.2f} ({each})", flush=True)


if __name__ == "__main__":
    app.run(main)
