"""Evaluates the rows of an experiment."""
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tqdm
from ml_collections import ConfigDict

from ornet_tf import build, metrics, registry
from ornet_tf.data import loading
from ornet_tf.data.source import Source
from ornet_tf.errors import NotFiniteError, UserError
from ornet_tf.evaluation import held_out, report, row_metrics
from ornet_tf.evaluation.distributed_rows import DistributedRows
from ornet_tf.maps import addons_components
from ornet_tf.runs import distribution, run_folder

Measured = Mapping[str, Mapping[str, metrics.Metric]]  # row -> name of the metric -> metric

# Options in result.json.
_STORED = ("split", "threshold", "threshold_split", "threshold_boxes", "iou_threshold", "box_rule")


def evaluate(config: ConfigDict, workdir: str) -> dict[str, Any]:
    """Evaluates every row on config.evaluation.split and writes `<workdir>/evaluation`.

    If config.evaluation.threshold_split is set, each row's thresholds are chosen on that split, and the figures at
    these thresholds are reported as well. If config.evaluation.threshold_boxes is a row, thresholds are also chosen by
    its pseudo boxes, so the split needs no boxes. Both choices are reported side by side.

    Returns:
      The content of result.json. Its "rows" is row -> title -> figures, with the `titles` of the metrics.

    Raises:
      UserError: if a split or a part of the run can't be used.
      NotFiniteError: if a map or logits that are reported are not finite.
    """
    options = config.evaluation
    row_metrics.make_metrics(config)  # A missing package is reported before images are read.
    splits = {split: held_out.load(config, split) for split in filter(None, (options.split, options.threshold_split))}
    trained_on = {split: held_out.check(checked, split, workdir) for split, checked in splits.items()}
    source = splits[options.split].source
    strategy = distribution.local_strategy()
    names = dict.fromkeys((options.classifier, *options.report_rows))
    if options.threshold_boxes != "ground_truth":
        names[options.threshold_boxes] = None
    for name in options.report_rows:
        build.check_phase_as_row(config, name, len(source.class_names), where="config.evaluation.report_rows")
    with strategy.scope():
        models = {name: build.trained_method(config, name, workdir, len(source.class_names)) for name in names}
    rows = DistributedRows(config, strategy, models)
    chosen = {}
    if options.threshold_split:
        other = measure(rows, splits[options.threshold_split].source, options.threshold_split, with_pseudo_boxes=True)
        chosen = {row: {name: m.summary() for name, m in by_metric.items()} for row, by_metric in other.items()}
    measured = measure(rows, source, options.split, bootstrap_samples=options.bootstrap_samples)
    summaries = {
        row: {name: metric.summary(chosen.get(row, {}).get(name)) for name, metric in by_metric.items()}
        for row, by_metric in measured.items()
    }
    result = {
        **{key: options[key] for key in _STORED},
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
    report.write_images(os.path.join(workdir, "evaluation", "images.png"), config, rows.predict_maps, source)
    return result


def _group_by_title(summaries: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Converts row -> metric -> title -> figures to row -> title -> figures."""
    return {
        row: {title: figures for summary in by_metric.values() for title, figures in summary.items()}
        for row, by_metric in summaries.items()
    }


def measure(
    rows: DistributedRows, source: Source, split: str, *, bootstrap_samples: int = 0, with_pseudo_boxes: bool = False
) -> Measured:
    """Measures every row on a split.

    A row's logits are those of config.evaluation.classifier for the whole image, or the row's own logits if
    config.evaluation.own_classes contains the row.

    Args:
      rows: the rows and the classifier.
      source: the images.
      split: the name of the split.
      bootstrap_samples: the number of bootstrap samples for intervals; 0 for none.
      with_pseudo_boxes: whether metrics also get the pseudo boxes of config.evaluation.threshold_boxes, if it is a row.

    Raises:
      UserError: if a row with own classes, or the classifier, has no logits.
      NotFiniteError: if a row's map is not finite, or logits that decide the class of a row are not. Other outputs of
        a method are not computed.
    """
    config, options = rows.config, rows.config.evaluation
    all_metrics = {name: row_metrics.make_metrics(config, bootstrap_samples) for name in options.report_rows}
    measured: dict[str, dict[str, metrics.Metric]] = {}
    batches = rows.run_batches(loading.evaluation_batches(config, source))
    with tqdm.tqdm(total=len(source), desc=split, unit="image", mininterval=1, dynamic_ncols=True) as progress:
        for truth, outputs in batches:
            for name in outputs:
                _check_finite(name, outputs[name].pop("is_finite"), [source.names[i] for i in truth["index"]])
            if with_pseudo_boxes and options.threshold_boxes in outputs:
                truth["pseudo_boxes"] = outputs[options.threshold_boxes]["pseudo_boxes"]
            for name in options.report_rows:
                logits = _logits(outputs, name if name in options.own_classes else options.classifier)
                for metric_name, metric in all_metrics[name].items():
                    if metric_name in outputs[name]:
                        measured.setdefault(name, all_metrics[name])
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
