"""Compares decoding at a fraction of the size with decoding whole, on photographs that are enlarged to 12 megapixels.

The photographs are enlarged and encoded as JPEGs in several ways. Enlarging makes them smooth and their files small, so
one way adds grain: files of phones are large, and reading their compressed data takes the same time at any scale. Each
side runs alternately in one process: the images of the evaluation pipeline (tf.data, in parallel), and the graph of an
export up to the network (batches of 8). Figures are medians; a ratio above 1 means that the fraction is faster.

The peak of memory is that of a process that decodes one batch in the graph of an export, without what it needs before.
With --config and --workdir, the boxes of the trained run are compared on the enlarged images of the test split.

  python -m benchmarks.large_photographs --data=cub10 --config=configs/cub10.py --workdir=runs/cub10
"""
from __future__ import annotations

import io
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from absl import app, flags
from ml_collections import config_flags
from PIL import Image

from benchmarks import _memory
from ornet_tf.data import decoding, image_store, input_pipeline, loading, transforms
from ornet_tf.inference import localizer

_DATA = flags.DEFINE_string("data", os.environ.get("ORNET_CUB10", ""), "folder with JPEGs, anywhere below it")
_IMAGES = flags.DEFINE_integer("images", 8, "photographs that are enlarged", lower_bound=8)
_REPEATS = flags.DEFINE_integer("repeats", 3, "runs of each side", lower_bound=1)
_CONFIG = config_flags.DEFINE_config_file("config", None, "the experiment of a trained run; none compares no boxes")
_WORKDIR = flags.DEFINE_string("workdir", "", "the trained run")
_CHILD = flags.DEFINE_integer("child", None, "`target_side` of a child process that measures memory")
_PIXELS, _RESIZE, _CROP, _BATCH = 12_000_000, 256, 224, 8
_WHOLE = 2**20  # a target that no image reaches at a fraction of its size
_WAYS = {  # standard deviation of the grain in grey levels, and options of the encoder
    "enlarged": (0, {}),
    "with grain": (6, {}),
    "turned by EXIF": (0, {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"}),
    "progressive": (0, {"progressive": True}),
}


def enlarge(file: bytes, way: str) -> bytes:
    """Returns a JPEG of 12 megapixels, in one of _WAYS."""
    grain, options = _WAYS[way]
    image = Image.open(io.BytesIO(file)).convert("RGB")
    scale = (_PIXELS / (image.width * image.height)) ** 0.5
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    if grain:
        noise = np.random.default_rng(0).normal(0, grain, (image.height, image.width, 3)).astype(np.float32)
        image = Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=90, **options)
    return encoded.getvalue()


def to_view(image: tf.Tensor, frame: tf.Tensor) -> tf.Tensor:
    """Returns the evaluation view of a decoded image, float32 [224, 224, 3]."""
    view = transforms.evaluation_view(resize=_RESIZE, crop=_CROP)
    return transforms.apply(image, view, resize=_RESIZE, crop=_CROP, frame=frame)


def pipeline(files: Sequence[bytes], target_side: int) -> Callable[[], None]:
    """Returns the function that makes the views of four times the files with tf.data."""
    views = image_store.parallel_map(
        tf.data.Dataset.from_tensor_slices(list(files)).repeat(),
        lambda file: to_view(*decoding.decode_scaled(file, target_side=target_side)),
    )
    batches = iter(input_pipeline.with_prefetch(views.batch(_BATCH)))
    return lambda: [next(batches) for _ in range(0, 4 * len(files), _BATCH)]


def export(files: Sequence[bytes], target_side: int) -> Callable[[], None]:
    """Returns the function that makes the views of four times the files with the graph of an export."""
    graph = tf.function(
        lambda batch: decoding.decode_each(batch, to_view, [_CROP, _CROP, 3], target_side=target_side)[0],
        input_signature=[tf.TensorSpec([None], tf.string)],
        autograph=False,
    )
    batches = [tf.constant(files[start:start + _BATCH]) for start in range(0, len(files), _BATCH)] * 4
    return lambda: [graph(batch) for batch in batches]


def compare_speed(photographs: Sequence[bytes]) -> None:
    """Prints the table of times for an image."""
    print(f"{'':<16}{'MB':>6}{'':>4}{'':<10}{'whole, ms':>10}{'fraction':>10}{'ratio':>8}")
    for way in _WAYS:
        files = [enlarge(file, way) for file in photographs]
        for name, make in (("pipeline", pipeline), ("export", export)):
            sides = [make(files, _WHOLE), make(files, _RESIZE)]
            seconds: list[list[float]] = [[], []]
            for _ in range(_REPEATS.value):
                for side, measured in zip(sides, seconds):
                    side()  # traces at first; later it makes tf.data fetch ahead as in the timed call
                    start = time.perf_counter()
                    side()
                    measured.append(time.perf_counter() - start)
            whole, fraction = (statistics.median(measured) / (4 * len(files)) * 1000 for measured in seconds)
            size = statistics.mean(map(len, files)) / 1e6
            print(f"{way:<16}{size:>6.1f}{'':>4}{name:<10}{whole:>10.1f}{fraction:>10.1f}{whole / fraction:>8.2f}",
                  flush=True)


def measure_memory(photographs: Sequence[bytes], target_side: int) -> None:
    """Prints by how many MiB the first batch of large files raises the peak of memory."""
    export(photographs[:_BATCH], target_side)()
    files = [enlarge(file, "enlarged") for file in photographs[:_BATCH]]
    decode = export(files, target_side)
    pathlib.Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # sets the peak back
    before = _memory.read_memory()["VmRSS"]
    decode()
    print(_memory.read_memory()["VmHWM"] - before)


def compare_memory() -> None:
    """Prints the peaks; each is measured in a process of its own, which returns what it frees to the system."""
    peaks, limits = [], {"MALLOC_MMAP_THRESHOLD_": "262144", "MALLOC_TRIM_THRESHOLD_": "262144"}
    for target_side in (_WHOLE, _RESIZE):
        command = [sys.executable, "-m", "benchmarks.large_photographs", f"--data={_DATA.value}"]
        command.append(f"--child={target_side}")
        done = subprocess.run(command, env=os.environ | limits, check=True, stdout=subprocess.PIPE, text=True)
        peaks.append(int(done.stdout))
    print(f"A batch of {_BATCH} in an export, MiB: whole {peaks[0]}, fraction {peaks[1]}")


def compare_boxes() -> None:
    """Prints by how much the boxes of enlarged test images differ between both sides."""
    model = localizer.load(_CONFIG.value, _WORKDIR.value)
    files = [pathlib.Path(path).read_bytes() for path in loading.load_split(_CONFIG.value, "test").images]
    size, side = _CONFIG.value.input.crop, _CONFIG.value.input.resize

    def boxes_of(batch, target_side, noise):
        views, status = decoding.decode_each(batch, model.to_view, [size, size, 3], target_side=target_side)
        views += tf.cast(tf.random.uniform(tf.shape(views), -noise, noise + 1, tf.int32), tf.float32)
        return model.localize_views(tf.clip_by_value(views, 0.0, 255.0), status)["detection_boxes"][:, 0]

    sides = {"whole": (_WHOLE, 0), "fraction": (side, 0), "whole, noise of 1 grey level": (_WHOLE, 1)}
    graphs = {name: tf.function(boxes_of) for name in sides}
    found: dict[str, list[np.ndarray]] = {name: [] for name in sides}
    for start in range(0, len(files), _BATCH):
        batch = tf.constant([enlarge(file, "enlarged") for file in files[start:start + _BATCH]])
        for name, arguments in sides.items():
            found[name].append(graphs[name](batch, *arguments).numpy())
    boxes = {name: np.concatenate(parts) for name, parts in found.items()}
    extent = np.tile(boxes["whole"][:, 2:] - boxes["whole"][:, :2], 2)
    for name in list(sides)[1:]:
        moved = np.abs(boxes[name] - boxes["whole"])
        of_side = (moved / np.maximum(extent, 1e-6)).max(axis=1)
        print(f"Boxes of {len(files)} images, {name}: {np.mean(of_side <= 0.02):.1%} within 0.02 of their sides, "
              f"at most {of_side.max():.3f}; of the image's side at most {moved.max():.4f}")


def main(_) -> None:
    """Prints the tables."""
    paths = sorted(pathlib.Path(_DATA.value).rglob("*.jp*g")) if _DATA.value else []
    if not paths:
        print("Skipped: no JPEGs. Set their folder with --data or the environment variable ORNET_CUB10.")
        return
    photographs = [path.read_bytes() for path in paths[:: max(1, len(paths) // _IMAGES.value)][: _IMAGES.value]]
    if _CHILD.value is not None:
        measure_memory(photographs, _CHILD.value)
        return
    print(f"{len(photographs)} photographs, {len(os.sched_getaffinity(0))} cores, TensorFlow {tf.__version__}")
    compare_speed(photographs)
    compare_memory()
    if _CONFIG.value is not None and _WORKDIR.value:
        compare_boxes()


if __name__ == "__main__":
    app.run(main)
