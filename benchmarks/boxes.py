"""Times boxes from maps in the graph against loops over images with SciPy and with OpenCV, and checks them.

Three kinds of maps: a trained map's look (one saturated object, a weaker second one, soft edges), smooth random blobs,
and white noise, which no network draws and which has the most components. The rules: "tight" and "largest", at all
thresholds of the metrics, and "several", the boxes of the `--most` largest components at the threshold 0.5, as an
export with `max_boxes` draws them. The sides take turns in one process; each figure is the median of `--repeats` runs,
after one that builds the graph.

SciPy labels components and gives the same boxes as ours, which is checked. OpenCV traces outer contours and takes the
largest by the area inside of each: holes count, the outermost half pixel doesn't, so another component may win, and
boxes agree only in part; the column "same" tells the share. Its "tight" needs no contours (boundingRect) and agrees.
SciPy and OpenCV are there after `make lint`; without OpenCV or tensorflow-addons their tables are left out:

  python -m benchmarks.boxes

Where tensorflow-addons is installed, its kernel is timed as well, on batches of 64: as it is, which joins pixels by
their sides only, and as `config.evaluation.components` uses it, with the same boxes as ours.
"""
from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from absl import app, flags
from scipy import ndimage

from ornet_tf.compat import addons_connected_components
from ornet_tf.maps import addons_components, boxes, components
from ornet_tf.metrics._localization_metrics import THRESHOLDS

_MAPS = flags.DEFINE_integer("maps", 1000, "how many maps to a batch", lower_bound=1)
_SIZE = flags.DEFINE_integer("size", 56, "height and width of a map in pixels", lower_bound=2)
_REPEATS = flags.DEFINE_integer("repeats", 3, "how many runs of each side", lower_bound=1)
_MOST = flags.DEFINE_integer("most", 5, "boxes of a map with the rule several", lower_bound=1)
_SEVERAL_AT = 0.5  # the threshold of the rule "several"
_FIND_BOXES = tf.function(boxes.find_boxes)
_FIND_LARGEST_BOXES = tf.function(boxes.find_largest_boxes)
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


def scipy_boxes(binary: np.ndarray, rule: str) -> list:
    """Returns (first row, first column, end of rows, end of columns) of the components of a map, bool [h, w]."""
    if not binary.any():
        return []
    labels, chosen = binary.astype(np.int32), [0]
    if rule != "tight":
        labels, _ = ndimage.label(binary, _EIGHT)
        sizes = np.bincount(labels.ravel())[1:]
        chosen = [sizes.argmax()] if rule == "largest" else np.argsort(-sizes, kind="stable")[: _MOST.value]
    slices = ndimage.find_objects(labels)
    return [(y.start, x.start, y.stop, x.stop) for y, x in (slices[i] for i in chosen)]


def opencv_boxes(cv2) -> Callable[[np.ndarray, str], list]:
    """Returns what does with contours of OpenCV what `scipy_boxes` does."""

    def find(binary, rule):
        mask = binary.view(np.uint8)
        if rule == "tight":
            rectangles = [cv2.boundingRect(mask)] if binary.any() else []
        else:
            contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
            if rule == "largest":
                contours = [max(contours, key=cv2.contourArea)] if contours else []
            else:
                contours = sorted(contours, key=cv2.contourArea, reverse=True)[: _MOST.value]
            rectangles = [cv2.boundingRect(contour) for contour in contours]
        return [(y, x, y + height, x + width) for x, y, width, height in rectangles]

    return find


def loop(maps: np.ndarray, rule: str, find: Callable[[np.ndarray, str], list]) -> np.ndarray:
    """Draws the boxes image by image, float32 [B, T, 4]; of the rule "several" [B, M, 4]."""
    height, width = maps.shape[1:]
    thresholds = [_SEVERAL_AT] if rule == "several" else THRESHOLDS
    found = np.zeros((len(maps), len(thresholds), _MOST.value if rule == "several" else 1, 4), np.float32)
    found[:, :, 0] = 0, 0, height, width
    for i, activation_map in enumerate(maps):
        for j, threshold in enumerate(thresholds):
            drawn = find(activation_map > np.float32(threshold), rule)
            if drawn:
                found[i, j, : len(drawn)] = drawn
    found /= np.float32([height, width, height, width])
    return found[:, 0] if rule == "several" else found[:, :, 0]


def medians(*functions) -> list[float]:
    """Returns the median time of each function in seconds, running them in turn."""
    times = [[] for _ in functions]
    for _ in range(_REPEATS.value):
        for function, taken in zip(functions, times):
            start = time.perf_counter()
            function()
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in times]


def against_addons(kind: str) -> None:
    """Prints what TensorFlow Addons takes for 64 maps."""
    maps = make_maps(kind, 64, _SIZE.value)
    tensor, thresholds = tf.constant(maps), tf.constant(THRESHOLDS)
    binary = tf.constant(maps > np.median(maps))
    theirs = {
        "kernel": (tf.function(addons_connected_components()), binary),
        "labels": (tf.function(addons_components.label_components), binary),
        "boxes": (functools.partial(_FIND_BOXES, thresholds=thresholds, rule="largest", backend="addons"), tensor),
    }
    ours = {
        "labels": _LABELS,
        "boxes": functools.partial(_FIND_BOXES, thresholds=thresholds, rule="largest", backend="native"),
    }
    for name, (function, argument) in theirs.items():
        peer = ours.get(name, ours["labels"])
        function(argument), peer(argument)  # builds the graphs
        if name in ours and np.abs(function(argument).numpy() - peer(argument).numpy()).max() > 1e-6:
            raise ValueError(f"{name}, {kind}: expected the same of both, they differ.")
        calls = [lambda f=f, a=argument: [f(a).numpy() for _ in range(10)] for f in (function, peer)]
        report(f"{name}, {kind}", medians(*calls))


def report(title: str, seconds: list[float], same: float = 1.0) -> None:
    """Prints a line of the table; `same` is the share of boxes that agree."""
    theirs, ours = seconds
    print(f"{title:<24}{theirs:>22.3f} s{ours:>10.3f} s{theirs / ours:>10.1f} x{same:>8.0%}", flush=True)


def against_loop(kind: str, find: Callable[[np.ndarray, str], list], *, agree: bool) -> None:
    """Prints what a loop takes for `--maps` maps; with `agree` all boxes have to be the same as ours."""
    maps = make_maps(kind, _MAPS.value, _SIZE.value)
    tensor, thresholds = tf.constant(maps), tf.constant(THRESHOLDS)
    ours = {rule: functools.partial(_FIND_BOXES, tensor, thresholds, rule=rule) for rule in boxes.RULES}
    ours["several"] = lambda: _FIND_LARGEST_BOXES(tensor, _SEVERAL_AT, max_boxes=_MOST.value)[0]
    for rule, draw in ours.items():
        is_same = (np.abs(draw().numpy() - loop(maps, rule, find)) < 1e-6).all(-1)
        if agree and not is_same.all():
            raise ValueError(f"{rule}, {kind}: expected the same boxes, {(~is_same).sum()} differ.")
        both = medians(lambda r=rule: loop(maps, r, find), lambda f=draw: f().numpy())
        report(f"{rule}, {kind}", both, is_same.mean())


def against_scipy(kind: str) -> None:
    """Prints what SciPy takes for boxes and for labels alone."""
    against_loop(kind, scipy_boxes, agree=True)
    maps = make_maps(kind, _MAPS.value, _SIZE.value)
    binary = maps > np.median(maps)
    tensor = tf.constant(binary)
    _LABELS(tensor)
    report(
        f"labels, {kind}",
        medians(lambda: [ndimage.label(image, _EIGHT) for image in binary], lambda: _LABELS(tensor).numpy()),
    )


def all_peers() -> dict[str, Callable[[str], None]]:
    """Returns what prints the lines of a kind of maps, by the name of the peer; says which peers are missing."""
    peers: dict[str, Callable[[str], None]] = {"SciPy loop": against_scipy}
    try:
        import cv2
    except ImportError as error:
        print(f"No table for OpenCV, which can't be imported ({error}): pip install opencv-python-headless")
    else:
        peers["OpenCV loop"] = functools.partial(against_loop, find=opencv_boxes(cv2), agree=False)
    if addons_connected_components() is None:
        print("No table for tensorflow-addons, which can't be imported: see requirements-addons.txt")
    else:
        peers["TF Addons, 10 x 64 maps"] = against_addons
    return peers


def main(_) -> None:
    """Prints the tables."""
    print(f"{_MAPS.value} maps of {_SIZE.value}x{_SIZE.value} at {len(THRESHOLDS)} thresholds")
    for peer, compare in all_peers().items():
        print(f"{'rule, maps':<24}{peer:>24}{'graph':>12}{'ratio':>12}{'same':>8}")
        for kind in ("object", "smooth", "noise"):
            compare(kind)


if __name__ == "__main__":
    app.run(main)
