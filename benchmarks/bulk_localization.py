"""Compares `localize_many` with a loop over `ornet_tf.load(...).localize`, and reads the memory of its workers.

The export is VGG16, or the backbone of --config, with random weights; the images are JPEGs of 500x375 pixels under
many names. The loop runs in this process with TensorFlow's threads for all cores; the program divides the same cores
among 1 and 2 workers. It runs between two loops. Its rows/s are counted once every worker has finished two parts, so
the start of Ray and TensorFlow is left out, and printed apart. It needs Ray: pip install '.[many]'.

  python -m benchmarks.bulk_localization
  python -m benchmarks.bulk_localization --config=configs/toybirds.py --size=32 --images=100000 --workers=1
"""
from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import tempfile
import time

from absl import app, flags, logging
from ml_collections import config_flags

import ornet_tf
from benchmarks import _memory, _untrained
from ornet_tf import config

_CONFIG = config_flags.DEFINE_config_file("config", None, "an experiment; by default the paper's, with VGG16")
_SIZE = flags.DEFINE_integer("size", 64, "side of the view in pixels, a multiple of 32", lower_bound=32)
_IMAGES = flags.DEFINE_integer("images", 3000, "images that the program localizes", lower_bound=1)
_LOOP_IMAGES = flags.DEFINE_integer("loop_images", 1000, "images of each loop; 0 for no loop", lower_bound=0)
_WORKERS = flags.DEFINE_multi_integer("workers", [1, 2], "worker processes; can be given several times", lower_bound=1)
_PART, _BATCH = 96, 32
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


def loop(model, paths: list[str]) -> float:
    """Returns the images/s of a loop in this process."""
    begin = time.perf_counter()
    for start in range(0, len(paths), _BATCH):
        model.localize(paths[start : start + _BATCH], batch_size=_BATCH)
    return len(paths) / (time.perf_counter() - begin)


def worker_memory() -> list[dict[str, int]]:
    """Returns the memory of all workers on this machine."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if "MapWorker" in path.read_text():
                found.append(_memory.read_memory(path.parent.name))
        except OSError:  # it has ended
            continue
    return found


def run(export: pathlib.Path, photos: pathlib.Path, output: pathlib.Path, workers: int) -> float:
    """Runs the program, prints its start-up and the memory of its workers; returns its rows/s."""
    command = [sys.executable, "-m", "ornet_tf.localize_many", f"--export={export}", f"--input={photos}"]
    command += [f"--output={output}", f"--workers={workers}", f"--part_size={_PART}", f"--batch_size={_BATCH}"]
    parts = -(-_IMAGES.value // _PART)
    begin, line = time.time(), 0
    with open(f"{output}.log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        while process.poll() is None:
            time.sleep(0.2)
            done = len(list(output.glob("detections/*.parquet")))
            if done * _LINES >= (line + 1) * parts:
                line = done * _LINES // parts
                sizes = ", ".join(f"{size['VmRSS']} (peak {size['VmHWM']})" for size in worker_memory())
                print(f"  {done * _PART:>8} images: resident memory of workers in MiB: {sizes}", flush=True)
    if process.returncode:
        sys.exit(pathlib.Path(f"{output}.log").read_text(encoding="utf-8")[-2000:])
    times = sorted(path.stat().st_mtime for path in output.glob("detections/*.parquet"))
    first = min(2 * workers, parts - 1) - 1
    print(f"  {times[0] - begin:.1f} s until the first {_PART} rows are written")
    return (parts - 1 - first) * _PART / (times[-1] - times[first])


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
        before = loop(model, paths) if paths else 0.0
        for workers in _WORKERS.value:
            rate = run(folder / "export", folder / "photos", folder / f"out{workers}", workers)
            after = loop(model, paths) if paths else 0.0
            print(f"{workers} workers: {rate:.1f} rows/s; the loop: {before:.1f} before, {after:.1f} after"
                  + (f"; ratio {2 * rate / (before + after):.2f}" if paths else ""), flush=True)
            before = after


if __name__ == "__main__":
    app.run(main)
