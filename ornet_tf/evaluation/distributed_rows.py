"""Runs the rows of an experiment on batches, which are split over all devices."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from ornet_tf import methods
from ornet_tf.evaluation import row_metrics
from ornet_tf.maps import boxes
from ornet_tf.models import winograd
from ornet_tf.models.shared_passes import SharedPasses
from ornet_tf.runs import distribution


class DistributedRows:
    """The rows and the classifier of an evaluation, with batches split over all devices.

    All rows are one function, in which parts with equal layers and weights run once. It is traced once for all splits
    whose batches have the same dtypes and shapes.

    Attributes:
      config: the whole configuration.
    """

    def __init__(self, config: ConfigDict, strategy: tf.distribute.Strategy, models: Mapping[str, methods.Method]):
        """Keeps the methods; they are compiled for the first data set.

        Args:
          config: the whole configuration.
          strategy: the devices. Every image is counted once, including those of a smaller last batch.
          models: name -> method, for the rows, the classifier and config.evaluation.threshold_boxes. Their weights must
            not change.
        """
        self.config = config
        self._passes, self._kernels = SharedPasses(), winograd.MappedKernels()
        self._strategy, self._models, self._metrics = strategy, models, row_metrics.make_metrics(config)
        self._compiled = tf.function(self._run_on_devices, autograph=False)
        # Its graph is larger than that of most rows. On each device it is traced once for all rows whose maps have one
        # shape and type, and is then optimized once: the graph optimizer does not copy it into the calls.
        attributes = {"_noinline": True}
        self._measure_traced = tf.function(self._measure_maps, autograph=False, experimental_attributes=attributes)

    def run_batches(self, dataset: tf.data.Dataset) -> Iterator[tuple[dict[str, np.ndarray], dict[str, dict]]]:
        """Runs all rows and the classifier on each batch of a data set.

        Args:
          dataset: the result of `loading.evaluation_batches`.

        Returns:
          An iterator over (truth, outputs) of each batch, as arrays. "truth" is the batch without its images. "outputs"
          is name -> "logits" [B, K] if a row's class depends on them; for a row with a map, name of the metric -> the
          result of its `measure`; and "is_finite" [B], whether these logits and this map are finite. The row of
          config.evaluation.threshold_boxes also has "pseudo_boxes" [B, 1, 4], see `metrics.Metric.update`.
        """
        is_plain = distribution.is_plain(self._strategy)
        batches = dataset if is_plain else self._strategy.experimental_distribute_dataset(dataset)
        self._compiled.get_concrete_function(batches.element_spec)  # for all batch sizes: the last one may be smaller
        return map(self._run_batch, batches)

    def predict_maps(self, batch: Mapping[str, tf.Tensor]) -> dict[str, np.ndarray]:
        """Returns row -> activation map [B, h, w, 1] for a batch, on one device; rows without a map are left out."""
        maps = {}
        with self._passes.enable(), winograd.enable(self._kernels, in_inference=True):
            for name in self.config.evaluation.report_rows:
                outputs = methods.predict_with_labels(self._models[name], batch["image"], batch["label"])
                if "activation_map" in outputs:
                    maps[name] = outputs["activation_map"].numpy()
        return maps

    def _run_batch(self, batch):
        truth = {key: self._gather(value) for key, value in batch.items() if key != "image"}
        return truth, tf.nest.map_structure(self._gather, self._compiled(batch))

    def _run_on_devices(self, batch):
        return self._strategy.run(self._run_on_replica, args=(batch,))

    def _run_on_replica(self, batch):
        """Maps the batch of one device to the outputs of all rows; see `run_batches`."""
        count = tf.shape(batch["image"])[0]
        # A small last batch can leave a device without images, and convolutions of an empty batch fail on some CPUs.
        # Such a device gets one image of zeros, whose results are dropped.
        missing = tf.cast(tf.equal(count, 0), tf.int32)
        batch = {
            key: tf.pad(value, [[0, missing]] + [[0, 0]] * (len(value.shape) - 1)) for key, value in batch.items()
        }
        outputs, used = {}, {}
        with self._passes.enable(), winograd.enable(self._kernels, in_inference=True):
            for name, model in self._models.items():
                # One row after the other: side by side, passes of different weights would need the memory of all rows.
                with tf.control_dependencies(list(used.values())):
                    predicted = methods.predict_with_labels(model, batch["image"], batch["label"])
                used = {key: value for key, value in predicted.items() if self._is_used(name, key)}
                outputs[name] = self._measure(used, batch)
                if name == self.config.evaluation.threshold_boxes:
                    outputs[name]["pseudo_boxes"] = _pseudo_boxes(model.pseudo_masks(batch["image"], batch["label"]))
        return tf.nest.map_structure(lambda value: value[:count], outputs)

    def _is_used(self, name, output) -> bool:
        """Returns whether a row's output is needed; layers that only other outputs need do not run."""
        options = self.config.evaluation
        if output in ("activation_map", "score_map"):
            return name in options.report_rows
        return name in (options.classifier, *options.own_classes)

    def _measure(self, used, batch):
        """Returns the outputs of `run_batches` for a row with these outputs of its method."""
        measured = {"is_finite": tf.ones_like(batch["index"], tf.bool)}
        for value in used.values():
            measured["is_finite"] &= tf.reduce_all(tf.math.is_finite(value), axis=list(range(1, len(value.shape))))
        if "activation_map" in used:
            truth = {key: value for key, value in batch.items() if key != "image"}
            measured.update(self._measure_traced(used["activation_map"], truth, methods.score_map(used)))
        if "logits" in used:
            measured["logits"] = used["logits"]
        return measured

    def _measure_maps(self, activation_map, truth, score_map):
        """Returns the name of each metric -> the result of its `measure`."""
        return {name: metric.measure(activation_map, truth, score_map) for name, metric in self._metrics.items()}

    def _gather(self, value: Any) -> np.ndarray:
        """Concatenates the results of all devices."""
        return np.concatenate([part.numpy() for part in self._strategy.experimental_local_results(value)])


def _pseudo_boxes(masks: tf.Tensor) -> tf.Tensor:
    """Returns the boxes of pseudo masks [B, h, w, 1] in fractions of the view, [B, 1, 4]; zeros for an empty mask."""
    is_empty = tf.reduce_all(masks < 0.5, axis=[1, 2])  # [B, 1]
    return tf.where(is_empty[..., tf.newaxis], 0.0, boxes.find_boxes(masks, [0.5]))
