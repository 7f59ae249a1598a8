"""Times boxes from activation maps in the graph against loops over images with SciPy and OpenCV, and compares results.

There are three kinds of maps. "object" resembles a trained map: one saturated object, a weaker second one, soft edges.
"smooth" has random blobs. "noise" is white noise, which has the most components. There are three rules: "tight" and
"largest", at all thresholds of the metrics, and "several", the boxes of the `--most` largest components at the
threshold 0.5, as in an export with `max_boxes`. All sides run alternately in one process. Each figure is the median of
`--repeats` runs, after one run that builds the graph.

SciPy labels components; its boxes must equal ours. OpenCV traces outer contours and selects the largest by the area
inside the contour, which includes holes and excludes the outermost half pixel. It may therefore select another
component; the column "same" has the share of equal boxes. Its "tight" uses boundingRect and equals ours. `make lint`
installs SciPy and OpenCV. Without OpenCV or tensorflow-addons their tables are left out:

  python -m benchmarks.boxes

If tensorflow-addons is installed, its kernel is timed on batches of 64: directly, which connects pixels by their sides
only, and as used by `config.evaluation.components`, with the same boxes as ours.
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

_MAPS = flags.DEFINE_integer("maps", 1000, "maps in a batch", lower_bound=1)
_SIZE = flags.DEFINE_integer("size", 56, "height and width of a map in pixels", lower_bound=2)
_REPEATS = flags.DEFINE_integer("repeats", 3, "runs of each side", lower_bound=1)
_MOST = flags.DEFINE_integer("most", 5, "boxes of a map with the rule several", lower_bound=1)
_SEVERAL_THRESHOLD = 0.5  # of the rule "several"
_FIND_BOXES = tf.function(boxes.find_boxes)
_FIND_LARGEST_BOXES = tf.function(boxes.find_largest_boxes)
_LABELS = tf.function(components.label_components)
_EIGHT_NEIGHBOURS = np.ones((3, 3))  # pixels are connected at corners as well


def make_maps(kind: str, count: int, size: int) -> np.ndarray:
    """Returns maps, float32 [count, size, size] in 0..1; the same maps in every call."""
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
    """Returns (first row, first column, end of rows, end of columns) of each box of a map, bool [h, w]."""
    if not binary.any():
        return []
    labels, chosen = binary.astype(np.int32), [0]
    if rule != "tight":
        labels, _ = ndimage.label(binary, _EIGHT_NEIGHBOURS)
        sizes = np.bincount(labels.ravel())[1:]
        chosen = [sizes.argmax()] if rule == "largest" else np.argsort(-sizes, kind="stable")[: _MOST.value]
    slices = ndimage.find_objects(labels)
    return [(y.start, x.start, y.stop, x.stop) for y, x in (slices[i] for i in chosen)]


def opencv_boxes(cv2) -> Callable[[np.ndarray, str], list]:
    """Returns a function like `scipy_boxes` that uses OpenCV's contours."""

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
    """Returns the boxes, found image by image, float32 [B, T, 4], or [B, M, 4] for the rule "several".

    Args:
      maps: float32 [B, h, w].
      rule: "tight", "largest" or "several".
      find: a function like `scipy_boxes`.
    """
    height, width = maps.shape[1:]
    thresholds = [_SEVERAL_THRESHOLD] if rule == "several" else THRESHOLDS
    result = np.zeros((len(maps), len(thresholds), _MOST.value if rule == "several" else 1, 4), np.float32)
    result[:, :, 0] = 0, 0, height, width
    for i, activation_map in enumerate(maps):
        for j, threshold in enumerate(thresholds):
            rectangles = find(activation_map > np.float32(threshold), rule)
            if rectangles:
                result[i, j, : len(rectangles)] = rectangles
    result /= np.float32([height, width, height, width])
    return result[:, 0] if rule == "several" else result[:, :, 0]


def medians(*functions) -> list[float]:
    """Returns the median time of each function in seconds; the functions run alternately."""
    times = [[] for _ in functions]
    for _ in range(_REPEATS.value):
        for function, seconds in zip(functions, times):
            start = time.perf_counter()
            function()
            seconds.append(time.perf_counter() - start)
    return [statistics.median(seconds) for seconds in times]


def compare_with_addons(kind: str) -> None:
    """Prints the times of TensorFlow Addons and ours for 10 batches of 64 maps."""
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
            raise ValueError(f"{name}, {kind}: expected equal results of both, but they differ.")
        calls = [lambda f=f, a=argument: [f(a).numpy() for _ in range(10)] for f in (function, peer)]
        print_line(f"{name}, {kind}", medians(*calls))


def print_line(title: str, seconds: list[float], same: float = 1.0) -> None:
    """Prints a line of the table; `same` is the share of equal boxes."""
    theirs, ours = seconds
    print(f"{title:<24}{theirs:>22.3f} s{ours:>10.3f} s{theirs / ours:>10.1f} x{same:>8.0%}", flush=True)


def compare_with_loop(kind: str, find: Callable[[np.ndarray, str], list], *, must_agree: bool) -> None:
    """Prints the times of a loop and ours for `--maps` maps; with `must_agree` all boxes must be equal."""
    maps = make_maps(kind, _MAPS.value, _SIZE.value)
    tensor, thresholds = tf.constant(maps), tf.constant(THRESHOLDS)
    ours = {rule: functools.partial(_FIND_BOXES, tensor, thresholds, rule=rule) for rule in boxes.RULES}
    ours["several"] = lambda: _FIND_LARGEST_BOXES(tensor, _SEVERAL_THRESHOLD, max_boxes=_MOST.value)[0]
    for rule, draw in ours.items():
        is_same = (np.abs(draw().numpy() - loop(maps, rule, find)) < 1e-6).all(-1)
        if must_agree and not is_same.all():
            raise ValueError(f"{rule}, {kind}: expected the same boxes, {(~is_same).sum()} differ.")
        both = medians(lambda r=rule: loop(maps, r, find), lambda f=draw: f().numpy())
        print_line(f"{rule}, {kind}", both, is_same.mean())


def compare_with_scipy(kind: str) -> None:
    """Prints the times of SciPy and ours for boxes and for component labels only."""
    compare_with_loop(kind, scipy_boxes, must_agree=True)
    maps = make_maps(kind, _MAPS.value, _SIZE.value)
    binary = maps > np.median(maps)
    tensor = tf.constant(binary)
    _LABELS(tensor)
    print_line(
        f"labels, {kind}",
        medians(lambda: [ndimage.label(image, _EIGHT_NEIGHBOURS) for image in binary], lambda: _LABELS(tensor).numpy()),
    )


def available_peers() -> dict[str, Callable[[str], None]]:
    """Returns the comparison with each installed library, as a function of a kind of maps; prints missing libraries."""
    peers: dict[str, Callable[[str], None]] = {"SciPy loop": compare_with_scipy}
    try:
        import cv2
    except ImportError as error:
        print(f"No table for OpenCV, which can't be imported ({error}): pip install opencv-python-headless")
    else:
        peers["OpenCV loop"] = functools.partial(compare_with_loop, find=opencv_boxes(cv2), must_agree=False)
    if addons_connected_components() is None:
        print("No table for tensorflow-addons, which can't be imported: see requirements-addons.txt")
    else:
        peers["TF Addons, 10 x 64 maps"] = compare_with_addons
    return peers


def main(_) -> None:
    """Prints the tables."""
    print(f"{_MAPS.value} maps of {_SIZE.value}x{_SIZE.value} at {len(THRESHOLDS)} thresholds")
    for peer, compare in available_peers().items():
        print(f"{'rule, maps':<24}{peer:>24}{'graph':>12}{'ratio':>12}{'same':>8}")
        for kind in ("object", "smooth", "noise"):
            compare(kind)


if __name__ == "__main__":
    app.run(main)
