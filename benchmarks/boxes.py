"""Times boxes from maps in the graph against a loop over pictures with SciPy, and checks that both agree.

Three kinds of maps: a trained map's look (one saturated object, a weaker second one, soft edges), smooth random blobs,
and white noise, which no network draws and which has the most components. Both sides run alternately in one process;
each figure is the fastest of `--repeats` runs, after one that builds the graph. Needs SciPy. Where tensorflow-addons
is installed, its kernel is timed as well, on batches of 64: as it is, which joins pixels by their sides only, and as
`config.evaluation.components` uses it, with the same boxes as ours.

  python -m benchmarks.boxes
"""
from __future__ import annotations

import functools
import time

import numpy as np
import tensorflow as tf
from absl import app, flags
from scipy import ndimage

from ornet_tf import addons_components, boxes, components
from ornet_tf.compat import addons_connected_components
from ornet_tf.metrics import THRESHOLDS

_MAPS = flags.DEFINE_integer("maps", 1000, "how many maps to a batch", lower_bound=1)
_SIZE = flags.DEFINE_integer("size", 56, "height and width of a map in pixels", lower_bound=2)
_REPEATS = flags.DEFINE_integer("repeats", 3, "how many runs of each side", lower_bound=1)
_FROM_MAPS = tf.function(boxes.from_maps)
_LABELS = tf.function(components.label_components)
_EIGHT = np.ones((3, 3))  # pixels touch by corners as well


def make_maps(kind: str, count: int, size: int) -> np.ndarray:
    """Returns float32 [count, size, size] in 0..1, always the same ones."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(count, size, size))
    if kind == "noise":
        return rng.random((count, size, size), np.float32)
    blobs = ndimage.gaussian_filter(noise, (0, size / 14, size / 14), mode="nearest")
    blobs /= blobs.std()
    if kind == "object":
        y, x = np.mgrid[:size, :size] / size
        for weight in (6.0, 3.0):
            centre = rng.uniform(0.25, 0.75, (2, count, 1, 1))
            radius = rng.uniform(0.1, 0.3, (2, count, 1, 1))
            distance = np.hypot((y - centre[0]) / radius[0], (x - centre[1]) / radius[1])
            blobs += weight * np.clip(1.5 - distance, 0, 1)
        blobs += 0.2 * noise - 3
    return (1 / (1 + np.exp(-2 * blobs))).astype(np.float32)


def loop(maps: np.ndarray, rule: str) -> np.ndarray:
    """Draws the boxes picture by picture, float32 [B, T, 4]."""
    height, width = maps.shape[1:]
    found = np.tile(np.float32([0, 0, 1, 1]), (len(maps), len(THRESHOLDS), 1))
    for i, activation_map in enumerate(maps):
        for j, threshold in enumerate(THRESHOLDS):
            labels, index = activation_map > np.float32(threshold), 0
            if rule == "largest":
                labels, count = ndimage.label(labels, _EIGHT)
                index = np.bincount(labels.ravel())[1:].argmax() if count else 0
            slices = ndimage.find_objects(labels.astype(np.int32, copy=False))
            if slices:
                y, x = slices[index]
                found[i, j] = y.start / height, x.start / width, y.stop / height, x.stop / width
    return found


def fastest(*functions) -> list[float]:
    """Returns the shortest time of each function in seconds, running them in turn."""
    times = [[] for _ in functions]
    for _ in range(_REPEATS.value):
        for function, taken in zip(functions, times):
            start = time.perf_counter()
            function()
            taken.append(time.perf_counter() - start)
    return [min(taken) for taken in times]


def against_addons(kind: str) -> None:
    """Prints what TensorFlow Addons takes for 64 maps."""
    maps = make_maps(kind, 64, _SIZE.value)
    tensor, thresholds = tf.constant(maps), tf.constant(THRESHOLDS)
    binary = tf.constant(maps > np.median(maps))
    theirs = {
        "kernel": (tf.function(addons_connected_components()), binary),
        "labels": (tf.function(addons_components.label_components), binary),
        "boxes": (functools.partial(_FROM_MAPS, thresholds=thresholds, rule="largest", backend="addons"), tensor),
    }
    ours = {
        "labels": _LABELS,
        "boxes": functools.partial(_FROM_MAPS, thresholds=thresholds, rule="largest", backend="native"),
    }
    for name, (function, argument) in theirs.items():
        peer = ours.get(name, ours["labels"])
        function(argument), peer(argument)  # builds the graphs
        if name in ours and np.abs(function(argument).numpy() - peer(argument).numpy()).max() > 1e-6:
            raise ValueError(f"{name}, {kind}: expected the same of both, they differ.")
        calls = [lambda f=f, a=argument: [f(a).numpy() for _ in range(10)] for f in (function, peer)]
        report(f"{name}, {kind}", fastest(*calls))


def report(title: str, seconds: list[float]) -> None:
    """Prints a line of the table."""
    theirs, ours = seconds
    print(f"{title:<24}{theirs:>22.3f} s{ours:>10.3f} s{theirs / ours:>10.1f} x", flush=True)


def against_scipy(kind: str) -> None:
    """Prints what a loop with SciPy takes for `--maps` maps."""
    maps, thresholds = make_maps(kind, _MAPS.value, _SIZE.value), tf.constant(THRESHOLDS)
    tensor = tf.constant(maps)
    for rule in boxes.RULES:
        difference = np.abs(_FROM_MAPS(tensor, thresholds, rule=rule).numpy() - loop(maps, rule)).max()
        if difference > 1e-6:
            raise ValueError(f"{rule}, {kind}: expected the same boxes, they differ by up to {difference}.")
        ours = functools.partial(_FROM_MAPS, tensor, thresholds, rule=rule)
        report(f"{rule}, {kind}", fastest(lambda r=rule: loop(maps, r), lambda f=ours: f().numpy()))
    binary = maps > np.median(maps)
    tensor = tf.constant(binary)
    _LABELS(tensor)
    report(
        f"labels, {kind}",
        fastest(lambda: [ndimage.label(image, _EIGHT) for image in binary], lambda: _LABELS(tensor).numpy()),
    )


def main(_) -> None:
    """Prints the tables."""
    print(f"{_MAPS.value} maps of {_SIZE.value}x{_SIZE.value} at {len(THRESHOLDS)} thresholds")
    peers = {"SciPy loop": against_scipy}
    if addons_connected_components() is not None:
        peers["TF Addons, 10 x 64 maps"] = against_addons
    for peer, compare in peers.items():
        print(f"{'rule, maps':<24}{peer:>24}{'graph':>12}{'ratio':>12}")
        for kind in ("object", "smooth", "noise"):
            compare(kind)


if __name__ == "__main__":
    app.run(main)
