"""Reads and decodes JPEGs of single files and of shards, in random order and in order, with a cold page cache.

The program draws `--images` JPEGs of 500x375 pixels, a file each, and copies them with the converter. Every line reads
with the pipeline's own reader and threads, after the system has dropped its cache, which needs root. Lines alternate; a
figure is the median of `--repeats` rounds of `--count` images, other ones in each round. "In windows" is the order of
`images_per_piece` = 16, whose pieces are read ahead. CPU time, and the requests that the disks serve, hardly depend on
other work.

  python -m benchmarks.sharded_files --folder=runs/sharded_files
"""
from __future__ import annotations

import dataclasses
import io
import os
import pathlib
import time
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf
from absl import app, flags
from PIL import Image

from ornet_tf.data import image_store, reading_order, records, shard_index, shard_writer
from ornet_tf.data.source import SPLITS, Source

_FOLDER = flags.DEFINE_string("folder", "runs/sharded_files", "folder of the files, which are made once")
_IMAGES = flags.DEFINE_integer("images", 24000, "JPEGs", lower_bound=1)
_COUNT = flags.DEFINE_integer("count", 4096, "images in a round", lower_bound=1)
_REPEATS = flags.DEFINE_integer("repeats", 3, "rounds", lower_bound=1)
_DECODE = flags.DEFINE_bool("decode", True, "decode the images after reading them")
_PIECE = 16


def draw(folder: pathlib.Path) -> Source:
    """Writes the JPEGs in 100 folders, unless they exist; returns their source."""
    rng, names = np.random.default_rng(0), [f"{i * 100 // _IMAGES.value:02d}/{i:06d}.jpg" for i in range(_IMAGES.value)]
    pool = []
    for _ in range(50):
        coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8)).resize((500, 375))
        noisy = np.clip(np.asarray(coarse, int) + rng.integers(-22, 23, (375, 500, 3)), 0, 255)
        Image.fromarray(noisy.astype(np.uint8)).save(buffer := io.BytesIO(), "JPEG", quality=88)
        pool.append(buffer.getvalue())
    for name in names if not (folder / names[-1]).exists() else ():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        jpeg = pool[rng.integers(len(pool))]
        comment = b"\xff\xfe\x00\x12" + rng.bytes(16)  # no two files are equal
        (folder / name).write_bytes(jpeg[:2] + comment + jpeg[2:])
    return Source(["any"], [str(folder / name) for name in names], names, np.zeros(len(names), int))


def read(source: Source, numbers: tf.data.Dataset, order: np.ndarray) -> Iterator[np.ndarray]:
    """Yields a value for each image that is read and decoded, in batches."""
    reader, order = image_store.reader(source), tf.constant(order, tf.int64)

    def load(number):
        encoded = reader(order[number])
        return tf.shape(tf.io.decode_jpeg(encoded, channels=3))[0] if _DECODE.value else tf.strings.length(encoded)

    return image_store.parallel_map(numbers, load).batch(64).prefetch(2).as_numpy_iterator()


def lines(files: Source, shards: Source) -> dict[str, Callable[[int], Iterator[np.ndarray]]]:
    """Returns the loops by their names; a loop gets the number of its round."""
    numbers = tf.range(len(files), dtype=tf.int64)

    def plain(source, order):
        return lambda r: read(source, tf.data.Dataset.range(r * _COUNT.value, (r + 1) * _COUNT.value), order)

    def ahead(piece):
        source = dataclasses.replace(shards, images_per_piece=piece)
        order = reading_order.make(source, 0)(tf.zeros_like(numbers), numbers)

        def loop(r):
            found = reading_order.read_ahead(source, r * _COUNT.value, lambda n: tf.gather(order, n % len(files)))
            return read(source, found.take(_COUNT.value), order)

        return loop

    random = np.random.default_rng(1).permutation(len(files))
    return {
        "single files, random order": plain(files, random),
        "single files, in order": plain(files, np.arange(len(files))),
        "shards, random order": ahead(0),
        "the same, not announced": plain(shards, np.roll(random, len(random) // 2)),
        "shards, in windows": ahead(_PIECE),
        "shards, in stored order": plain(shards, records.stored_order(shards.images)),
    }


def disk_requests() -> np.ndarray:
    """Returns how many requests to read the disks have served, and the bytes that they have read."""
    rows = [path.read_text().split() for path in pathlib.Path("/sys/block").glob("[!lz]*/stat")]  # no loops, no zram
    return np.array([[int(row[0]), int(row[2]) * 512] for row in rows]).sum(axis=0)


def measure(loop: Iterator[np.ndarray]) -> list[float]:
    """Returns images/s, CPU time in ms an image, requests an image and kB a request, with a cold cache."""
    os.sync()
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")
    start, used, before = time.perf_counter(), time.process_time(), disk_requests()
    count = sum(len(batch) for batch in loop)
    requests, size = disk_requests() - before
    used, seconds = time.process_time() - used, time.perf_counter() - start
    return [count / seconds, used / count * 1e3, requests / count, size / max(requests, 1) / 1e3]


def main(_) -> None:
    """Prints a table."""
    folder = pathlib.Path(_FOLDER.value).absolute()
    files = draw(folder / "files")
    if not shard_index.is_complete(folder / "shards"):
        start, sources = time.perf_counter(), dict.fromkeys(SPLITS, "not drawn") | {"train": files}
        shard_writer.write(sources, folder / "shards", images_per_shard=1000)
        print(f"converted: {len(files) / (time.perf_counter() - start):.0f} images/s")
    shards = shard_index.read_split(folder / "shards", "train")
    loops = lines(files, shards)
    found = {name: [] for name in loops}
    for number in range(_REPEATS.value):
        for name, loop in loops.items():
            found[name].append(measure(loop(number)))
    mean = sum(record.length for record in shards.images) / len(shards)
    print(f"{len(files)} JPEGs of {mean / 1e3:.0f} kB, decode: {_DECODE.value}, {os.cpu_count()} cores")
    print(f"{'':<28}{'images/s':>10}{'ratio':>8}{'CPU, ms an image':>18}{'requests an image':>19}{'kB a request':>14}")
    first = np.median([row[0] for row in found["single files, random order"]])
    for name, rows in found.items():
        rate, used, requests, size = np.median(rows, axis=0)
        print(f"{name:<28}{rate:>10.0f}{rate / first:>8.2f}{used:>18.2f}{requests:>19.2f}{size:>14.0f}", flush=True)


if __name__ == "__main__":
    app.run(main)
