"""Measures the memory and speed of a prediction on many image files: it should not grow with their number.

It predicts as `python -m ornet_tf.predict` does, but with VGG16 of random weights and small views, so that many images
take minutes. The files are a few JPEGs of 500x375 pixels under many names, and photographs of 12 megapixels among them.

  python -m benchmarks.prediction_memory
  python -m benchmarks.prediction_memory --images=100 --photograph_every=1 --size=224
"""
from __future__ import annotations

import contextlib
import io
import os
import tempfile
import time

import numpy as np
from absl import app, flags, logging
from PIL import Image

from benchmarks import _memory, _untrained
from ornet_tf import config
from ornet_tf.inference import localize_files, prediction, run_model

_IMAGES = flags.DEFINE_integer("images", 10_000, "image files", lower_bound=1)
_PHOTOGRAPH_EVERY = flags.DEFINE_integer("photograph_every", 100, "one in so many is a photograph; 0 for none")
_SIZE = flags.DEFINE_integer("size", 32, "side of the view in pixels, a multiple of 32", lower_bound=32)
_CLASSES = flags.DEFINE_integer("classes", 10, "number of classes", lower_bound=2)
_LOOKS = (1000, 2000, 5000, 10_000)
_DIFFERENT = 20


def photograph() -> bytes:
    """Returns a JPEG of 4032x3024 pixels with the noise of a camera, about 3 MB."""
    with Image.open(io.BytesIO(_untrained.jpegs(1)[0])) as small:
        large = np.asarray(small.resize((4032, 3024), Image.BICUBIC))
    noise = np.random.default_rng(0).integers(-9, 10, large.shape, np.int8)
    file = io.BytesIO()
    Image.fromarray(np.clip(large + noise.astype(np.int16), 0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def write_images(folder: str) -> list[str]:
    """Writes the different files once and links the other names to them; returns the names."""
    kinds = {"small": _untrained.jpegs(_DIFFERENT), "photograph": [photograph()] if _PHOTOGRAPH_EVERY.value else []}
    for kind, files in kinds.items():
        for i, file in enumerate(files):
            with open(os.path.join(folder, f"{kind}_{i}"), "wb") as target:
                target.write(file)
    paths = []
    for i in range(_IMAGES.value):
        is_photograph = _PHOTOGRAPH_EVERY.value and i % _PHOTOGRAPH_EVERY.value == 0
        source = "photograph_0" if is_photograph else f"small_{i % _DIFFERENT}"
        paths.append(os.path.join(folder, f"{i:06d}.jpg"))
        os.link(os.path.join(folder, source), paths[-1])
    return paths


def main(_) -> None:
    """Prints memory and speed as the number of images grows."""
    logging.set_verbosity(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        paths = write_images(folder)
        _, untrained = _untrained.method_and_localizer(config.default(), _SIZE.value, _CLASSES.value)
        model = run_model.RunModel(untrained, _SIZE.value)
        options = {"signature": "localize", "folder": os.path.join(folder, "predictions"), **prediction.BATCHES}
        entries = localize_files.localize_files(model, paths, extent=(0.0, 0.0, 1.0, 1.0), **options)
        print(f"{'images':>8}{'memory, MiB':>14}{'peak':>8}{'images/s':>10}")
        with contextlib.closing(entries):
            started = time.perf_counter()
            for number, entry in enumerate(entries, 1):
                if "error" in entry:
                    raise RuntimeError(f"Expected a box in each image, got {entry}.")
                if number in (*_LOOKS, len(paths)):
                    memory, seconds = _memory.read_memory(), time.perf_counter() - started
                    print(f"{number:>8}{memory['VmRSS']:>14}{memory['VmHWM']:>8}{number / seconds:>10.1f}", flush=True)
    print(f"with predictions.json written: peak {_memory.read_memory()['VmHWM']} MiB")


if __name__ == "__main__":
    app.run(main)
