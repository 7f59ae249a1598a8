"""Images of the evaluated split with the maps and boxes of outcomes, and the rules that choose these images."""
from __future__ import annotations

import json
import typing
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from ornet_tf import methods
from ornet_tf.data import loading
from ornet_tf.data.source import Source
from ornet_tf.maps import boxes
from ornet_tf.reproduction.outcomes import Outcome, Run

LEAST_SURROUNDINGS = 0.25  # of an image's pixels; with fewer, their mean says little


class Example(typing.NamedTuple):
    """One image in the evaluation view.

    Attributes:
      index: its index in the split.
      name: its name in the data set.
      image: uint8 [S, S, 3].
      truth: float32 [M, 4], ymin xmin ymax xmax in fractions; rows without area are padding.
      maps: of each outcome float32 [h, w, 1] in 0..1, before refinement along edges.
      boxes: of each outcome float32 [1, 4], the box at the fixed threshold, ymin xmin ymax xmax in fractions.
    """

    index: int
    name: str
    image: np.ndarray
    truth: np.ndarray
    maps: Sequence[np.ndarray]
    boxes: Sequence[np.ndarray]


def look_at(outcomes: Sequence[Outcome], indices: Sequence[int]) -> list[Example]:
    """Returns images of the evaluated split with the maps and boxes of each outcome's first seed.

    Args:
      outcomes: at least one.
      indices: of the images.
    """
    if not indices:
        return []
    runs = [outcome.runs[0] for outcome in outcomes]
    source = runs[0].source()
    predicted = [_predict(run, indices) for run in runs]
    found: list[Example] = []
    for batch in loading.evaluation_batches(runs[0].config, source.select(indices)):
        for image, truth in zip(batch["image"].numpy().astype(np.uint8), batch["boxes"].numpy()):
            index = int(indices[len(found)])
            maps, drawn = zip(*(of_run[index] for of_run in predicted))
            found.append(Example(index, source.names[index], image, truth, maps, drawn))
    return found


# Maps and boxes of this process, by run and index: studies show the same images, and a model takes seconds to build.
_predicted: dict[str, dict[int, tuple[np.ndarray, np.ndarray]]] = {}


def _predict(run: Run, indices: Sequence[int]) -> Mapping[int, tuple[np.ndarray, np.ndarray]]:
    """Returns index -> map [h, w, 1] and box [1, 4] of images of the evaluated split."""
    options = run.config.evaluation
    key = [run.workdir, run.row, run.result["trained"], options.split, options.threshold, options.box_rule]
    known = _predicted.setdefault(json.dumps(key), {})
    missing = [index for index in indices if index not in known]
    if missing:
        method = run.method()
        for batch in loading.evaluation_batches(run.config, run.source().select(missing)):
            predicted = methods.predict_with_labels(method, batch["image"], batch["label"])
            maps = methods.unrefined_map(predicted).numpy()
            drawn = boxes.find_boxes(
                predicted["activation_map"], tf.constant([options.threshold]), rule=options.box_rule
            )
            for position, *of_image in zip(batch["index"].numpy(), maps, drawn.numpy()):
                known[missing[position]] = tuple(of_image)
    return known


def evenly(outcome: Outcome, count: int) -> list[int]:
    """Returns the indices of `count` images, or all, spread evenly over the evaluated split."""
    if not count:
        return []
    total = len(outcome.runs[0].source())
    return np.linspace(0, total - 1, min(count, total)).astype(int).tolist()


def noisiest(outcome: Outcome, count: int) -> list[int]:
    """Returns the indices of the `count` images whose surroundings have the most edges, in the order of the split.

    Images without a box, and those with less than `LEAST_SURROUNDINGS` outside their boxes, are left out.
    """
    run = outcome.runs[0]
    strengths = _surroundings(run.config, run.source())
    order = np.argsort(-np.nan_to_num(strengths, nan=-1.0), kind="stable")[: min(count, np.sum(~np.isnan(strengths)))]
    return sorted(order.tolist())


def _surroundings(config: ConfigDict, source: Source) -> np.ndarray:
    batches = loading.evaluation_batches(config, source)
    return np.concatenate([edges_outside(b["image"].numpy(), b["boxes"].numpy()) for b in batches])


def edges_outside(images: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Measures the edges in the surroundings of objects: the mean brightness step to the pixel to the right and below.

    Args:
      images: float [B, H, W, 3] in 0..255.
      truth: float [B, M, 4], ymin xmin ymax xmax in fractions; rows without area are padding.

    Returns:
      float64 [B]: the mean over pixels outside all boxes; NaN for an image without a box, or with fewer such pixels
      than `LEAST_SURROUNDINGS`.
    """
    brightness = np.asarray(images, np.float64).mean(axis=-1)
    height, width = brightness.shape[1:]
    scaled = np.asarray(truth, np.float64) * (height, width, height, width)
    top, left, bottom, right = np.moveaxis(scaled, -1, 0)[..., np.newaxis]  # [B, M, 1] each
    rows, columns = np.arange(height), np.arange(width)
    in_rows = (rows + 1 > top) & (rows < bottom)  # [B, M, H]: the pixel touches the box
    in_columns = (columns + 1 > left) & (columns < right)
    outside = ~np.any(in_rows[..., :, np.newaxis] & in_columns[..., np.newaxis, :], axis=1)  # [B, H, W]
    sums, counts = np.zeros(len(brightness)), np.zeros(len(brightness))
    for axis in (1, 2):
        before = [slice(None)] * 3
        before[axis] = slice(0, -1)
        after = [slice(None)] * 3
        after[axis] = slice(1, None)
        both = outside[tuple(before)] & outside[tuple(after)]  # a step at the box's own edge belongs to the object
        sums += np.sum(np.abs(np.diff(brightness, axis=axis)) * both, axis=(1, 2))
        counts += np.sum(both, axis=(1, 2))
    has_box = np.any((bottom > top) & (right > left), axis=(1, 2))
    is_measured = has_box & (outside.mean(axis=(1, 2)) >= LEAST_SURROUNDINGS)
    return np.where(is_measured, sums / np.maximum(counts, 1), np.nan)
