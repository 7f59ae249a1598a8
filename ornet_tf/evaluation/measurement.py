"""Evaluates the rows of an experiment side by side, on all devices that share a batch."""
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
from ornet_tf.metrics._bootstrap import Bootstrap
from ornet_tf.runs import distribution, run_folder

Measured = Mapping[str, Mapping[str, metrics.Metric]]  # row -> metric


def evaluate(config: ConfigDict, workdir: str) -> dict[str, Any]:
    """Evaluates every row on config.evaluation.split and writes `<workdir>/evaluation`.

    Where config.evaluation.threshold_split names a split, each row's threshold is also chosen there, and what it gives
    is reported apart from the best one on the evaluated data.

    Returns:
      What result.json holds; "rows" is row -> name of the figures -> figures, the names being the `titles` of the
      metrics.
    """
    options = config.evaluation
    new_metrics(config)  # A missing package is reported before images are read.
    splits = {split: held_out.load(config, split) for split in filter(None, (options.split, options.threshold_split))}
    trained_on = {split: held_out.check(checked, split, workdir) for split, checked in splits.items()}
    source = splits[options.split].source
    strategy = distribution.local_strategy()
    with strategy.scope():
        models = {
            name: build.trained_method(config, name, workdir, len(source.class_names))
            for name in dict.fromkeys((options.classifier, *options.rows))
        }
    rows = DistributedRows(config, strategy, models)
    chosen = {}
    if options.threshold_split:
        before = measure(rows, splits[options.threshold_split].source, options.threshold_split)
        chosen = {row: {name: p.summary() for name, p in of_row.items()} for row, of_row in before.items()}
    measured = measure(rows, source, options.split, bootstrap_samples=options.bootstrap_samples)
    summaries = {
        row: {name: p.summary(chosen.get(row, {}).get(name)) for name, p in of_row.items()}
        for row, of_row in measured.items()
    }
    result = {
        **{key: options[key] for key in ("split", "threshold", "threshold_split", "iou_threshold", "box_rule")},
        "components": "addons" if addons_components.use_addons(options.components) else "native",
        "images": len(source),
        "images_trained_on": trained_on,
        "chosen_on": {
            title: {key: value for key, value in figures.items() if key.startswith("images")}
            for title, figures in next(iter(_by_title(chosen).values()), {}).items()
        },
        "trained": {name: run_folder.run_id(workdir, name) for name in config.phases},
        "seed": config.seed,
        "bootstrap_samples": options.bootstrap_samples,
        "metrics": {name: list(registry.find("metrics", name).titles) for name in options.metrics},
        "rows": _by_title(summaries),
    }
    report.write(os.path.join(workdir, "evaluation"), result, source, measured, cases=options.cases)
    report.write_images(os.path.join(workdir, "evaluation", "images.png"), config, models, source)
    return result


def _by_title(summaries: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Returns row -> title -> figures of row -> metric -> title -> figures."""
    return {row: {k: v for s in of_row.values() for k, v in s.items()} for row, of_row in summaries.items()}


class DistributedRows:
    """The rows and the classifier of an evaluation, on all devices that share a batch.

    Each is traced once for all splits whose batches have the same types and shapes.

    Attributes:
      config: the whole configuration.
    """

    def __init__(self, config: ConfigDict, strategy: tf.distribute.Strategy, models: Mapping[str, methods.Method]):
        """Compiles nothing yet.

        Args:
          config: the whole configuration.
          strategy: the devices; every image is counted once, also those of the last, smaller batch.
          models: name -> method, of the rows and of the classifier.
        """
        self.config = config
        self._strategy = strategy
        self._compiled = {
            name: _on_all_devices(strategy, model, new_metrics(config) if name in config.evaluation.rows else {})
            for name, model in models.items()
        }

    def of_batches(self, dataset: tf.data.Dataset) -> Iterator[tuple[dict[str, np.ndarray], dict[str, dict]]]:
        """Compiles what is needed and returns an iterator over the batches, each with what is made of it.

        Args:
          dataset: of `assemble.evaluation_batches`.

        Returns:
          (truth, outputs) of each batch: what it holds but the images, and name -> "logits" [B, K] and, of a map,
          what each metric measures; all of it as arrays.
        """
        batches = self._strategy.experimental_distribute_dataset(dataset)
        for compiled in self._compiled.values():
            # One trace serves the last, smaller batch as well. Not at the first call: TensorFlow takes the first calls
            # of several functions made here for one that is traced again and again.
            compiled.get_concrete_function(batches.element_spec)
        return map(self._of_batch, batches)

    def _of_batch(self, batch):
        truth = {key: self._gather(value) for key, value in batch.items() if key != "image"}
        outputs = {
            name: tf.nest.map_structure(self._gather, compiled(batch)) for name, compiled in self._compiled.items()
        }
        return truth, outputs

    def _gather(self, value: Any) -> np.ndarray:
        """Returns the parts of all devices, one after the other."""
        return np.concatenate([part.numpy() for part in self._strategy.experimental_local_results(value)])


def new_metrics(config: ConfigDict, bootstrap_samples: int = 0) -> dict[str, metrics.Metric]:
    """Returns name -> a new metric, with nothing accumulated.

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
    """Runs every row over a split. Classes are those of config.evaluation.classifier, on the whole image, or its own.

    Args:
      rows: the rows and the classifier.
      source: the images.
      split: their name.
      bootstrap_samples: how often images are drawn for intervals.
    """
    config, options = rows.config, rows.config.evaluation
    of_row = {name: new_metrics(config, bootstrap_samples) for name in options.rows}
    measured: dict[str, dict[str, metrics.Metric]] = {}
    batches = rows.of_batches(loading.evaluation_batches(config, source))
    with tqdm.tqdm(total=len(source), desc=split, unit="image", mininterval=1, dynamic_ncols=True) as progress:
        for truth, outputs in batches:
            for name in outputs:
                _check_finite(name, outputs[name].pop("is_finite"), [source.names[i] for i in truth["index"]])
            for name in options.rows:
                known = _logits(outputs, name if name in options.own_classes else options.classifier)
                for metric, accumulator in of_row[name].items():
                    if metric in outputs[name]:
                        measured.setdefault(name, of_row[name])
                        accumulator.update(outputs[name][metric], {**truth, "logits": known})
            progress.update(len(truth["label"]))
    return measured


def _check_finite(row: str, is_finite: np.ndarray, names: Sequence[str]) -> None:
    """Raises NotFiniteError unless what a row makes of a batch of images is finite.

    A map that is not would be measured all the same: what is no number is off, and conventions make zeros of it.
    """
    broken = [name for name, right in zip(names, is_finite) if not right]
    if broken:
        raise NotFiniteError(
            f"The map or the logits of {row} are NaN or infinite for {len(broken)} of {len(names)} images, such as "
            f"{broken[0]}: its numbers run away, as those of a run that has diverged. Look at its losses in "
            "TensorBoard and train it again with a lower learning_rate, or leave it out of config.evaluation.rows."
        )


def _logits(outputs: Mapping[str, Mapping[str, Any]], name: str) -> np.ndarray:
    if "logits" not in outputs[name]:
        raise UserError(f"config.evaluation: expected rows that know classes, but {name} knows none; take it out.")
    return outputs[name]["logits"]


def _on_all_devices(
    strategy: tf.distribute.Strategy,
    method: methods.Method,
    conventions: Mapping[str, metrics.Metric],
) -> Callable[[Any], dict[str, Any]]:
    """Returns a `tf.function`: a batch -> "logits" [B, K] and, of a map, what each metric measures."""

    def of_replica(batch):
        count = tf.shape(batch["image"])[0]
        # The last batch can be too small for all devices, and convolutions of no image at all fail on some CPUs.
        missing = tf.cast(tf.equal(count, 0), tf.int32)
        batch = {
            key: tf.pad(value, [[0, missing]] + [[0, 0]] * (len(value.shape) - 1)) for key, value in batch.items()
        }
        outputs = dict(methods.predict_with_labels(method, batch["image"], batch["label"]))
        finite = [tf.reduce_all(tf.math.is_finite(v), axis=list(range(1, len(v.shape)))) for v in outputs.values()]
        outputs["is_finite"] = tf.reduce_all(finite, axis=0)
        if "activation_map" in outputs:
            activation_map = outputs.pop("activation_map")
            for name, convention in conventions.items():
                outputs[name] = convention.measure(activation_map, batch)
        return tf.nest.map_structure(lambda value: value[:count], outputs)

    @tf.function
    def of_all(batch):
        return strategy.run(of_replica, args=(batch,))

    return of_all
