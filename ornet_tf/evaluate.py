"""Evaluates the rows of an experiment side by side: result.json, a table, per-image results and pictures.

  python -m ornet_tf.evaluate --config=configs/toybirds.py --workdir=runs/toybirds
"""
from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm
from absl import logging
from ml_collections import ConfigDict
from PIL import Image

from ornet_tf import addons_components, app, assemble, boxes, run_folder, visualize, workers
from ornet_tf.datasets import Source
from ornet_tf.methods import Protocol
from ornet_tf.metrics import THRESHOLDS, LocalizationMetrics

Metrics = Mapping[str, Mapping[str, LocalizationMetrics]]  # row -> box rule -> metrics


def main(config: ConfigDict, workdir: str) -> None:
    """Evaluates and logs where the results are."""
    result = evaluate(config, workdir)
    logging.info("%s\nEverything is in %s", table(result), os.path.join(workdir, "evaluation"))


def evaluate(config: ConfigDict, workdir: str) -> dict[str, Any]:
    """Evaluates every row on config.evaluation.split and writes `<workdir>/evaluation`.

    Where config.evaluation.threshold_split names a split, each row's threshold is also chosen there, and its CorLoc
    at that threshold is reported between the one at the fixed threshold and the best one on the evaluated data.

    Returns:
      What result.json holds; "rows" is row -> box rule -> summary of `LocalizationMetrics`.
    """
    options = config.evaluation
    source = assemble.load_split(config, options.split)
    if list(source.class_names) != assemble.read_class_names(workdir):
        raise ValueError(f"The {options.split} split has other classes than the run in {workdir} was trained on.")
    strategy = workers.local_strategy()
    with strategy.scope():
        methods = {
            name: assemble.trained_method(config, name, workdir, len(source.class_names))
            for name in dict.fromkeys((options.classifier, *options.rows))
        }
    measured = measure(config, strategy, methods, source, options.split)
    rows = {row: {rule: metric.summary() for rule, metric in rules.items()} for row, rules in measured.items()}
    if options.threshold_split:
        chosen_on = assemble.load_split(config, options.threshold_split)
        for row, rules in measure(config, strategy, methods, chosen_on, options.threshold_split).items():
            for rule, metric in rules.items():
                _add_chosen_threshold(rows[row][rule], metric.summary())
    result = {
        **{key: options[key] for key in ("split", "threshold", "threshold_split", "iou_threshold", "box_rule")},
        "components": "addons" if addons_components.use_addons(options.components) else "native",
        "images": len(source),
        "seed": config.seed,
        "rows": rows,
    }
    folder = os.path.join(workdir, "evaluation")
    run_folder.write_json(os.path.join(folder, "result.json"), result)
    with open(os.path.join(folder, "table.md"), "w", encoding="utf-8") as file:
        file.write(table(result))
    _write_per_image(os.path.join(folder, "per_image.csv"), source, measured, options.box_rule)
    _write_pictures(config, methods, source, os.path.join(folder, "pictures.png"))
    return result


def measure(
    config: ConfigDict, strategy: tf.distribute.Strategy, methods: Mapping[str, Protocol], source: Source, split: str
) -> Metrics:
    """Runs every row over a split. Classes are those of config.evaluation.classifier, on the whole image, or its own.

    Args:
      config: the whole configuration.
      strategy: the devices that share each batch; every picture is counted once, also those of the last, smaller batch.
      methods: name -> method, of the rows and of the classifier.
      source: the pictures.
      split: their name.
    """
    options = config.evaluation
    thresholds = sorted({*THRESHOLDS, options.threshold})
    predict = {
        name: _predict_boxes(strategy, method, thresholds, options.components) for name, method in methods.items()
    }
    batches = strategy.experimental_distribute_dataset(assemble.evaluation_batches(config, source))
    measured: dict[str, dict[str, LocalizationMetrics]] = {}
    with tqdm.tqdm(total=len(source), desc=split, unit="image", mininterval=1, dynamic_ncols=True) as progress:
        for batch in batches:
            outputs = {name: run(batch["image"]) for name, run in predict.items()}
            truth, labels = (_gather(strategy, batch[key]) for key in ("boxes", "label"))
            for name in options.rows:
                logits = _logits(outputs, name if name in options.own_classes else options.classifier)
                for rule, found in outputs[name].items():
                    if rule not in boxes.RULES:
                        continue
                    metrics = measured.setdefault(name, {})
                    if rule not in metrics:
                        metrics[rule] = LocalizationMetrics(
                            thresholds=thresholds, threshold=options.threshold, iou_threshold=options.iou_threshold
                        )
                    metrics[rule].update(found, truth, logits, labels)
            progress.update(len(labels))
    return measured


def _logits(outputs: Mapping[str, Mapping[str, np.ndarray]], name: str) -> np.ndarray:
    if "logits" not in outputs[name]:
        raise ValueError(f"config.evaluation: expected rows that know classes, but {name} knows none; take it out.")
    return outputs[name]["logits"]


def _gather(strategy: tf.distribute.Strategy, value: Any) -> np.ndarray:
    """Returns the parts of all devices, one after the other."""
    return np.concatenate([part.numpy() for part in strategy.experimental_local_results(value)])


def _predict_boxes(
    strategy: tf.distribute.Strategy, method: Protocol, thresholds: Sequence[float], components: str
):
    """Returns a function: images [B, H, W, 3] of all devices -> "logits" [B, K] and, for each rule, boxes [B, T, 4]."""

    def of_replica(images):
        count = tf.shape(images)[0]
        # The last batch can be too small for all devices, and convolutions of no picture at all fail on some CPUs.
        images = tf.pad(images, [[0, tf.cast(tf.equal(count, 0), tf.int32)], [0, 0], [0, 0], [0, 0]])
        outputs = dict(method.predict(images))
        if "activation_map" in outputs:
            maps = outputs.pop("activation_map")
            for rule in boxes.RULES:
                outputs[rule] = boxes.from_maps(
                    maps, tf.constant(thresholds, tf.float32), rule=rule, backend=components
                )
        return {name: value[:count] for name, value in outputs.items()}

    # One trace serves the last, smaller batch as well.
    @tf.function(reduce_retracing=True)
    def of_all(images):
        return strategy.run(of_replica, args=(images,))

    def predict(images):
        return {name: _gather(strategy, value) for name, value in of_all(images).items()}

    return predict


def _add_chosen_threshold(summary: dict[str, Any], chosen_on: Mapping[str, Any]) -> None:
    threshold = chosen_on["best_threshold_on_evaluated_data"]
    known = threshold is not None and summary["corloc_by_threshold"] is not None
    summary["threshold_chosen"] = threshold
    summary["corloc_at_chosen_threshold"] = (
        summary["corloc_by_threshold"][summary["thresholds"].index(threshold)] if known else None
    )


def table(result: Mapping[str, Any]) -> str:
    """Returns a Markdown table of a result for each box rule."""
    lines = []
    for rule in boxes.RULES:
        title = {"tight": "tight box of all pixels above the threshold", "largest": "largest connected component"}[rule]
        lines += [f"{result['images']} {result['split']} pictures, {title} (percent)", ""]
        head = [f"CorLoc at {result['threshold']}"]
        if result["threshold_split"]:
            head.append(f"at the threshold chosen on {result['threshold_split']}")
        head += ["best (threshold chosen on these pictures)", "spread 0.2-0.8", "LocErr top-1", "top-5"]
        head += ["ClsErr top-1", "top-5"]
        lines += [f"| row | {' | '.join(head)} |", f"|---|{'---|' * len(head)}"]
        for row, rules in result["rows"].items():
            s = rules[rule]
            cells = [_number(s["corloc"])]
            if result["threshold_split"]:
                cells.append(f"{_number(s['corloc_at_chosen_threshold'])} ({s['threshold_chosen']})")
            cells.append(
                f"{_number(s['corloc_best_on_evaluated_data'])} ({s['best_threshold_on_evaluated_data']})"
            )
            keys = ("corloc_spread", "locerr_top1", "locerr_top5", "clserr_top1", "clserr_top5")
            cells += [_number(s[key]) for key in keys]
            lines.append(f"| {row} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _write_per_image(path: str, source: Source, measured: Metrics, rule: str) -> None:
    """Writes a line per picture: its name and, for each row, the IoU at the fixed threshold."""
    columns = {row: rules[rule].per_image()["iou"] for row, rules in measured.items()}
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", *(f"iou_{row}" for row in columns)])
        for index, name in enumerate(source.names):
            writer.writerow([name, *(f"{values[index]:.4f}" for values in columns.values())])


def _write_pictures(config: ConfigDict, methods: Mapping[str, Protocol], source: Source, path: str) -> None:
    """Draws pictures of the split with each row's map, its box at the fixed threshold and the ground truth."""
    options = config.evaluation
    count = min(options.pictures, len(source))
    if not count:
        return
    chosen = source.select(np.linspace(0, len(source) - 1, count).astype(int))
    find_boxes = tf.function(boxes.from_maps, reduce_retracing=True)
    panels = []
    for batch in assemble.evaluation_batches(config, chosen):
        rows = []
        for name in options.rows:
            maps = methods[name].predict(batch["image"]).get("activation_map")
            if maps is not None:
                found = find_boxes(maps, tf.constant([options.threshold]), rule=options.box_rule)
                rows.append((name, maps.numpy(), found.numpy()))
        for index, image in enumerate(batch["image"].numpy().astype(np.uint8)):
            truth = batch["boxes"][index].numpy()
            panels.append(
                [visualize.panel(image, maps[index], found[index], truth, caption=name) for name, maps, found in rows]
            )
    Image.fromarray(visualize.grid(panels, title=f"{options.split}: boxes at {options.threshold}")).save(path)


if __name__ == "__main__":
    app.run(main)
