"""Evaluates the rows of an experiment side by side: result.json, tables, per-image results, cases and pictures.

  python -m ornet_tf.evaluate --config=configs/toybirds.py --workdir=runs/toybirds
"""
from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm
from absl import logging
from ml_collections import ConfigDict

from ornet_tf import (
    addons_components,
    app,
    assemble,
    evaluation_report,
    masks,
    methods,
    protocols,
    registry,
    run_folder,
    training_data,
    workers,
)
from ornet_tf.bootstrap import Bootstrap
from ornet_tf.datasets import Source

Measured = Mapping[str, Mapping[str, protocols.Protocol]]  # row -> protocol


def main(config: ConfigDict, workdir: str) -> None:
    """Evaluates and logs where the results are."""
    result = evaluate(config, workdir)
    logging.info("%s\nEverything is in %s", evaluation_report.table(result), os.path.join(workdir, "evaluation"))


def evaluate(config: ConfigDict, workdir: str) -> dict[str, Any]:
    """Evaluates every row on config.evaluation.split and writes `<workdir>/evaluation`.

    Where config.evaluation.threshold_split names a split, each row's threshold is also chosen there, and what it gives
    is reported apart from the best one on the evaluated data.

    Returns:
      What result.json holds; "rows" is row -> name of the figures -> figures, the names being the `titles` of the
      protocols.
    """
    options = config.evaluation
    source = _load(config, options.split)
    if list(source.class_names) != training_data.class_names(workdir):
        raise ValueError(f"The {options.split} split has other classes than the run in {workdir} was trained on.")
    chosen_on = _load(config, options.threshold_split) if options.threshold_split else None
    strategy = workers.local_strategy()
    with strategy.scope():
        models = {
            name: assemble.trained_method(config, name, workdir, len(source.class_names))
            for name in dict.fromkeys((options.classifier, *options.rows))
        }
    on_devices, chosen = OnDevices(config, strategy, models), {}
    if chosen_on is not None:
        before = measure(config, on_devices, chosen_on, options.threshold_split)
        chosen = {row: {name: p.summary() for name, p in of_row.items()} for row, of_row in before.items()}
    measured = measure(config, on_devices, source, options.split, bootstrap_samples=options.bootstrap_samples)
    summaries = {
        row: [p.summary(chosen.get(row, {}).get(name)) for name, p in of_row.items()]
        for row, of_row in measured.items()
    }
    result = {
        **{key: options[key] for key in ("split", "threshold", "threshold_split", "iou_threshold", "box_rule")},
        "components": "addons" if addons_components.use_addons(options.components) else "native",
        "images": len(source),
        "trained": {name: run_folder.run_id(workdir, name) for name in config.phases},
        "seed": config.seed,
        "bootstrap_samples": options.bootstrap_samples,
        "protocols": {name: list(registry.find("protocols", name).titles) for name in options.protocols},
        "rows": {row: {k: v for figures in some for k, v in figures.items()} for row, some in summaries.items()},
    }
    evaluation_report.write(os.path.join(workdir, "evaluation"), result, source, measured, cases=options.cases)
    evaluation_report.write_pictures(os.path.join(workdir, "evaluation", "pictures.png"), config, models, source)
    return result


def _load(config: ConfigDict, split: str) -> Source:
    """Loads a split with masks if a protocol needs them.

    Raises:
      ValueError: if it has none then, or some of them can't be used.
    """
    source = assemble.load_split(config, split)
    needing = masks.needing(config.evaluation.protocols)
    if needing and source.masks is None:
        raise ValueError(
            f"config.evaluation.protocols: {needing[0]} needs masks, and the {split} split of {config.dataset.name} "
            "has none; leave it out."
        )
    return source if needing else dataclasses.replace(source, masks=None)


class OnDevices:
    """Methods and what their maps are measured by, on all devices that share a batch.

    Each is traced once for all splits whose batches have the same types and shapes.
    """

    def __init__(self, config: ConfigDict, strategy: tf.distribute.Strategy, models: Mapping[str, methods.Protocol]):
        """Compiles nothing yet.

        Args:
          config: the whole configuration.
          strategy: the devices; every picture is counted once, also those of the last, smaller batch.
          models: name -> method, of the rows and of the classifier.
        """
        self._strategy = strategy
        self._compiled = {
            name: _on_all_devices(strategy, model, _protocols(config) if name in config.evaluation.rows else {})
            for name, model in models.items()
        }

    def batches(self, dataset: tf.data.Dataset):
        """Yields the batches of `evaluation_batches`, each with what was made of it.

        Yields:
          (truth, outputs): what the batch holds but the pictures, and name -> "logits" [B, K] and, of a map, what each
          protocol measures; all of it as arrays.
        """
        batches = self._strategy.experimental_distribute_dataset(dataset)
        for compiled in self._compiled.values():
            # One trace serves the last, smaller batch as well. Not at the first call: TensorFlow takes the first calls
            # of several functions made here for one that is traced again and again.
            compiled.get_concrete_function(batches.element_spec)
        for batch in batches:
            truth = {key: self._gather(value) for key, value in batch.items() if key != "image"}
            yield truth, {
                name: tf.nest.map_structure(self._gather, compiled(batch)) for name, compiled in self._compiled.items()
            }

    def _gather(self, value: Any) -> np.ndarray:
        """Returns the parts of all devices, one after the other."""
        return np.concatenate([part.numpy() for part in self._strategy.experimental_local_results(value)])


def _protocols(config: ConfigDict, bootstrap_samples: int = 0) -> dict[str, protocols.Protocol]:
    options = config.evaluation
    settings = protocols.Settings(
        image_size=config.input.crop,
        threshold=options.threshold,
        iou_threshold=options.iou_threshold,
        components=options.components,
        bootstrap=Bootstrap(bootstrap_samples, seed=config.seed),
    )
    return {
        name: registry.find("protocols", name)(settings, **options.protocol_options.get(name, {}))
        for name in options.protocols
    }


def measure(
    config: ConfigDict, on_devices: OnDevices, source: Source, split: str, *, bootstrap_samples: int = 0
) -> Measured:
    """Runs every row over a split. Classes are those of config.evaluation.classifier, on the whole image, or its own.

    Args:
      config: the whole configuration.
      on_devices: the rows and the classifier.
      source: the pictures.
      split: their name.
      bootstrap_samples: how often pictures are drawn for intervals.
    """
    options = config.evaluation
    of_row = {name: _protocols(config, bootstrap_samples) for name in options.rows}
    measured: dict[str, dict[str, protocols.Protocol]] = {}
    with tqdm.tqdm(total=len(source), desc=split, unit="image", mininterval=1, dynamic_ncols=True) as progress:
        for truth, outputs in on_devices.batches(assemble.evaluation_batches(config, source)):
            for name in options.rows:
                known = _logits(outputs, name if name in options.own_classes else options.classifier)
                for protocol, accumulator in of_row[name].items():
                    if protocol in outputs[name]:
                        measured.setdefault(name, of_row[name])
                        accumulator.update(outputs[name][protocol], {**truth, "logits": known})
            progress.update(len(truth["label"]))
    return measured


def _logits(outputs: Mapping[str, Mapping[str, Any]], name: str) -> np.ndarray:
    if "logits" not in outputs[name]:
        raise ValueError(f"config.evaluation: expected rows that know classes, but {name} knows none; take it out.")
    return outputs[name]["logits"]


def _on_all_devices(
    strategy: tf.distribute.Strategy,
    method: methods.Protocol,
    accumulators: Mapping[str, protocols.Protocol],
):
    """Returns a `tf.function`: a batch -> "logits" [B, K] and, of a map, what each protocol measures."""

    def of_replica(batch):
        count = tf.shape(batch["image"])[0]
        # The last batch can be too small for all devices, and convolutions of no picture at all fail on some CPUs.
        missing = tf.cast(tf.equal(count, 0), tf.int32)
        batch = {
            key: tf.pad(value, [[0, missing]] + [[0, 0]] * (len(value.shape) - 1)) for key, value in batch.items()
        }
        outputs = dict(methods.predict_known(method, batch["image"], batch["label"]))
        if "activation_map" in outputs:
            activation_map = outputs.pop("activation_map")
            for name, accumulator in accumulators.items():
                outputs[name] = accumulator.measure(activation_map, batch)
        return tf.nest.map_structure(lambda value: value[:count], outputs)

    @tf.function
    def of_all(batch):
        return strategy.run(of_replica, args=(batch,))

    return of_all


if __name__ == "__main__":
    app.run(main)
