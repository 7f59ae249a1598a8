"""Reads the results of evaluated runs: figures, results per image, and histograms of maps.

A `Run` is one row of one evaluation. An `Outcome` holds the runs of a row or variant, one for each seed.
"""
from __future__ import annotations

import csv
import dataclasses
import os
import re
import typing
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from ornet_tf import build, methods, metrics
from ornet_tf.data import loading
from ornet_tf.data.source import Source
from ornet_tf.evaluation import report
from ornet_tf.runs import run_folder, training_data

BINS = 50  # of the histogram of activation values, from 0 to 1
_THRESHOLD = re.compile(r"(iou_|best_)?threshold")  # names of thresholds, which are not averaged over seeds


class Run(typing.NamedTuple):
    """One row of one evaluation.

    Attributes:
      config: the configuration of training and evaluation.
      workdir: the folder of the run.
      row: the evaluated row.
      result: the content of result.json.
    """

    config: ConfigDict
    workdir: str
    row: str
    result: Mapping[str, Any]

    @property
    def title(self) -> str:
        """The name of the reported figures: those of the box rule, or else of the first metric."""
        return report.main_title(self.result)

    def summary(self) -> Mapping[str, Any]:
        """Returns the figures of the row."""
        return self.result["rows"][self.row][self.title]

    def figures(self) -> dict[str, tuple[float, list[float] | None]]:
        """Returns figure -> (value, interval), in percent; the interval is None if the figure has none."""
        summary = self.summary()
        return {
            key: (value, summary.get(f"{key}_interval"))
            for key, value in summary.items()
            if isinstance(value, float) and not _THRESHOLD.match(key)
        }

    def per_image(self) -> dict[str, np.ndarray]:
        """Returns this row's columns of per_image.csv, float64 [N], by their names without the row's suffix."""
        with open(os.path.join(self.workdir, "evaluation", "per_image.csv"), encoding="utf-8", newline="") as file:
            lines = csv.reader(file)
            columns = dict(zip(next(lines), zip(*lines)))
        suffix = f"_{self.row}"
        return {
            key.removesuffix(suffix): np.asarray(values, np.float64)
            for key, values in columns.items()
            if key.endswith(suffix)
        }

    def method(self) -> methods.Method:
        """Builds the method of the row with its trained weights."""
        class_names = training_data.class_names(self.workdir)
        return build.trained_method(self.config, self.row, self.workdir, len(class_names))

    def source(self) -> Source:
        """Returns the evaluated images, without masks. The images of the last call are kept in memory."""
        config = self.config
        key = f"{config.evaluation.split} {config.dataset.to_json_best_effort()} {config.input.broken_images}"
        if key not in _loaded:
            source = loading.load_split(config, config.evaluation.split)
            _loaded.clear()
            _loaded[key] = dataclasses.replace(source, masks=None)
        return _loaded[key]


_loaded: dict[str, Source] = {}  # the last split that was loaded; all rows and variants are evaluated on it


class Outcome(typing.NamedTuple):
    """The runs of a row or variant, one for each seed; `label` names it in tables and charts."""

    label: str
    runs: tuple[Run, ...]

    def mean(self, key: str) -> float | None:
        """Returns the mean of a figure over the seeds; None if a run does not have it."""
        values = [run.figures()[key][0] for run in self.runs if key in run.figures()]
        return float(np.mean(values)) if len(values) == len(self.runs) else None

    def range(self, key: str) -> tuple[float, float] | None:
        """Returns the interval of a single seed, or mean ± standard deviation of several seeds, as (low, high)."""
        values = [run.figures()[key] for run in self.runs if key in run.figures()]
        if len(values) == 1 and values[0][1] is not None:
            return tuple(values[0][1])
        if len(values) < 2:
            return None
        mean, spread = np.mean([v for v, _ in values]), np.std([v for v, _ in values], ddof=1)
        return float(mean - spread), float(mean + spread)

    def failures(self) -> dict[str, float]:
        """Returns the percentage of images with a right box and with each kind of failure, over all seeds.

        The result is empty if the metric has no boxes at a fixed threshold.
        """
        total: dict[str, int] = {}
        for run in self.runs:
            columns = run.per_image()
            if "coverage" not in columns:
                return {}
            counts = metrics.count_failures(columns["right"], columns["coverage"], columns["precision"])
            total = {kind: total.get(kind, 0) + count for kind, count in counts.items()}
        images = sum(total.values())
        return {kind: 100.0 * count / images for kind, count in total.items()} if images else {}

    def histogram(self) -> np.ndarray:
        """Returns the percentage of map pixels in each bin from 0 to 1, over all images and seeds, [BINS].

        The maps are those of the evaluated split, at their own resolution and before refinement along edges.
        """
        counts = sum(_histogram(run) for run in self.runs)
        return 100.0 * counts / counts.sum()


def _histogram(run: Run) -> np.ndarray:
    """Returns the counts of a run, int64 [BINS]; they are cached in a file beside its evaluation."""
    path = os.path.join(run.workdir, "evaluation", f"histogram_{run.row}.json")
    made_of = [run.result["trained"], run.result["split"], run.result["images"], BINS, "unrefined"]
    if os.path.exists(path):
        cached = run_folder.read_json(path, {"made_of": list, "counts": [int]})
        if cached["made_of"] == made_of:
            return np.asarray(cached["counts"], np.int64)
    method = run.method()

    @tf.function(reduce_retracing=True, autograph=False)
    def count(images, labels):
        maps = methods.unrefined_map(methods.predict_with_labels(method, images, labels))
        return tf.histogram_fixed_width(maps, [0.0, 1.0], BINS, tf.int64)

    batches = loading.evaluation_batches(run.config, run.source())
    counts = sum(count(batch["image"], batch["label"]).numpy() for batch in batches)
    run_folder.write_json(path, {"made_of": made_of, "counts": counts.tolist()})
    return counts
