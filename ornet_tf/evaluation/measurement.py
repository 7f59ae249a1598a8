"""Evaluates the rows of an experiment, with batches split over all devices."""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm
from ml_collections import ConfigDict

from ornet_tf import build, methods, metrics, registry
from ornet_tf.data import loading
from ornet_tf.data.source import Source
from ornet_tf.errors import NotFiniteError, UserError
from ornet_tf.evaluation import held_out, report
from ornet_tf.maps import addons_components
from ornet_tf.metrics import Bootstrap
from ornet_tf.runs import distribution, run_folder

Measured = Mapping[str, Mapping[str, metrics.Metric]]  # row -> name of the metric -> metric


def evaluate(config: ConfigDict, workdir: str) -> dict[str, Any]:
    """Evaluates every row on config.evaluation.split and writes `<workdir>/evaluation`.

    If config.evaluation.threshold_split is set, each row's thresholds are chosen on that split, and the figures at
    these thresholds are reported as well.

    Returns:
      The content of result.json. Its "rows" is row -> title -> figures, with the `titles` of the metrics.

    Raises:
      UserError: if a split or a part of the run can't be used.
      NotFiniteError: if the output of a row is not finite.
    """
    options = config.evaluation
    make_metrics(config)  # A missing package is reported before images are read.
    splits = {split: held_out.load(config, split) for split in filter(None, (options.split, options.threshold_split))}
    trained_on = {split: held_out.check(checked, split, workdir) for split, checked in splits.items()}
    source = splits[options.split].source
    strategy = distribution.local_strategy()
    with strategy.scope():
        models = {
            name: build.trained_method(config, name, workdir, len(source.class_names))
            for name in dict.fromkeys((options.classifier, *options.report_rows))
        }
    rows = DistributedRows(config, strategy, models)
    chosen = {}
    if options.threshold_split:
        other = measure(rows, splits[options.threshold_split].source, options.threshold_split)
        chosen = {row: {name: m.summary() for name, m in by_metric.items()} for row, by_metric in other.items()}
    measured = measure(rows, source, options.split, bootstrap_samples=options.bootstrap_samples)
    summaries = {
        row: {name: metric.summary(chosen.get(row, {}).get(name)) for name, metric in by_metric.items()}
        for row, by_metric in measured.items()
    }
    result = {
        **{key: options[key] for key in ("split", "threshold", "threshold_split", "iou_threshold", "box_rule")},
        "components": "addons" if addons_components.use_addons(options.components) else "native",
        "images": len(source),
        "images_trained_on": trained_on,
        "chosen_on": {
            title: {key: value for key, value in figures.items() if key.startswith("images")}
            for title, figures in next(iter(_group_by_title(chosen).values()), {}).items()
        },
        "trained": {name: run_folder.run_id(workdir, name) for name in config.phase_order},
        "seed": config.seed,
        "bootstrap_samples": options.bootstrap_samples,
        "metrics": {name: list(registry.find("metrics", name).titles) for name in options.metrics},
        "rows": _group_by_title(summaries),
    }
    report.write(os.path.join(workdir, "evaluation"), result, source, measured, cases=options.cases)
    report.write_images(os.path.join(workdir, "evaluation", "images.png"), config, models, source)
    return result


def _group_by_title(summaries: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Converts row -> metric -> title -> figures to row -> title -> figures."""
    return {
        row: {title: figures for summary in by_metric.values() for title, figures in summary.items()}
        for row, by_metric in summaries.items()
    }


class DistributedRows:
    """The rows and the classifier of an evaluation, with batches split over all devices.

    Each row is traced once for all splits whose batches have the same dtypes and shapes.

    Attributes:
      config: the whole configuration.
    """

    def __init__(self, config: ConfigDict, strategy: tf.distribute.Strategy, models: Mapping[str, methods.Method]):
        """Keeps the models; they are compiled for the first data set.

        Args:
          config: the whole configuration.
          strategy: the devices. Every image is counted once, including those of a smaller last batch.
          models: name -> method, for the rows and the classifier.
        """
        self.config = config
        self._strategy = strategy
        self._compiled = {
            name: _compile_for_devices(
                strategy, model, make_metrics(config) if name in config.evaluation.report_rows else {}
            )
            for name, model in models.items()
        }

    def run_batches(self, dataset: tf.data.Dataset) -> Iterator[tuple[dict[str, np.ndarray], dict[str, dict]]]:
        """Runs all rows and the classifier on each batch of a data set.

        Args:
          dataset: the result of `loading.evaluation_batches`.

        Returns:
          An iterator over (truth, outputs) of each batch, as arrays. "truth" is the batch without its images. "outputs"
          is name -> "is_finite" [B], "logits" [B, K] and, if the method has a map, name of the metric -> the result of
          its `measure`.
        """
        batches = self._strategy.experimental_distribute_dataset(dataset)
        for compiled in self._compiled.values():
            # Traced here for all batch sizes, including a smaller last batch. Traced at their first calls, these
            # functions would all count as one function for TensorFlow, which would warn of retracing.
            compiled.get_concrete_function(batches.element_spec)
        return map(self._run_batch, batches)

    def _run_batch(self, batch):
        truth = {key: self._gather(value) for key, value in batch.items() if key != "image"}
        outputs = {
            name: tf.nest.map_structure(self._gather, compiled(batch)) for name, compiled in self._compiled.items()
        }
        return truth, outputs

    def _gather(self, value: Any) -> np.ndarray:
        """Concatenates the results of all devices."""
        return np.concatenate([part.numpy() for part in self._strategy.experimental_local_results(value)])


def make_metrics(config: ConfigDict, bootstrap_samples: int = 0) -> dict[str, metrics.Metric]:
    """Returns name -> a new metric without results.

    Raises:
      MissingPackageError: if a metric needs a package that is not installed.
    """
    options = config.evaluation
    settings = metrics.Settings(
        image_size=config.input.crop,
        threshold=options.threshold,
        iou_threshold=options.iou_threshold,
        components=options.components,
        bootstrap=Bootstrap(bootstrap_samples, seed=config.seed),
    )
    return {
        name: registry.find("metrics", name)(settings, **options.metric_options.get(name, {}))
        for name in options.metrics
    }


def measure(rows: DistributedRows, source: Source, split: str, *, bootstrap_samples: int = 0) -> Measured:
    """Measures every row on a split.

    A row's logits are those of config.evaluation.classifier for the whole image, or the row's own logits if
    config.evaluation.own_classes contains the row.

    Args:
      rows: the rows and the classifier.
      source: the images.
      split: the name of the split.
      bootstrap_samples: the number of bootstrap samples for intervals; 0 for none.

    Raises:
      UserError: if a row with own classes, or the classifier, has no logits.
      NotFiniteError: if an output is not finite.
    """
    config, options = rows.config, rows.config.evaluation
    row_metrics = {name: make_metrics(config, bootstrap_samples) for name in options.report_rows}
    measured: dict[str, dict[str, metrics.Metric]] = {}
    batches = rows.run_batches(loading.evaluation_batches(config, source))
    with tqdm.tqdm(total=len(source), desc=split, unit="image", mininterval=1, dynamic_ncols=True) as progress:
        for truth, outputs in batches:
            for name in outputs:
                _check_finite(name, outputs[name].pop("is_finite"), [source.names[i] for i in truth["index"]])
            for name in options.report_rows:
                logits = _logits(outputs, name if name in options.own_classes else options.classifier)
                for metric_name, metric in row_metrics[name].items():
                    if metric_name in outputs[name]:
                        measured.setdefault(name, row_metrics[name])
                        metric.update(outputs[name][metric_name], {**truth, "logits": logits})
            progress.update(len(truth["label"]))
    return measured


def _check_finite(row: str, is_finite: np.ndarray, names: Sequence[str]) -> None:
    """Raises NotFiniteError unless a row's outputs for a batch of images are finite.

    Without this check such maps would be measured: NaN counts as off, or is replaced by 0.
    """
    broken = [name for name, finite in zip(names, is_finite) if not finite]
    if broken:
        raise NotFiniteError(
            f"The map or the logits of {row} are NaN or infinite for {len(broken)} of {len(names)} images, such as "
            f"{broken[0]}: its training run has diverged. Check its losses in TensorBoard and train it again with a "
            "lower learning_rate, or leave it out of config.evaluation.report_rows."
        )


def _logits(outputs: Mapping[str, Mapping[str, Any]], name: str) -> np.ndarray:
    if "logits" not in outputs[name]:
        raise UserError(
            f"config.evaluation: expected logits of {name}, which has none; take it out of own_classes or classifier."
        )
    return outputs[name]["logits"]


def _compile_for_devices(
    strategy: tf.distribute.Strategy,
    method: methods.Method,
    row_metrics: Mapping[str, metrics.Metric],
) -> Callable[[Any], dict[str, Any]]:
    """Returns a `tf.function` that maps a batch to the outputs of one method; see `DistributedRows.run_batches`."""

    def run_on_replica(batch):
        count = tf.shape(batch["image"])[0]
        # A small last batch can leave a device without images, and convolutions of an empty batch fail on some CPUs.
        # Such a device gets one image of zeros, whose results are dropped.
        missing = tf.cast(tf.equal(count, 0), tf.int32)
        batch = {
            key: tf.pad(value, [[0, missing]] + [[0, 0]] * (len(value.shape) - 1)) for key, value in batch.items()
        }
        outputs = dict(methods.predict_with_labels(method, batch["image"], batch["label"]))
        finite = [tf.reduce_all(tf.math.is_finite(v), axis=list(range(1, len(v.shape)))) for v in outputs.values()]
        outputs["is_finite"] = tf.reduce_all(finite, axis=0)
        if "activation_map" in outputs:
            activation_map = outputs.pop("activation_map")
            for name, metric in row_metrics.items():
                outputs[name] = metric.measure(activation_map, batch)
        return tf.nest.map_structure(lambda value: value[:count], outputs)

    @tf.function
    def run_on_all(batch):
        return strategy.run(run_on_replica, args=(batch,))

    return run_on_all
