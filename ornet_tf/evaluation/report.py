"""Writes the report of an evaluation: result.json, table.md, per_image.csv and .parquet, cases.md and images.png."""
from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow
import tensorflow as tf
from ml_collections import ConfigDict
from PIL import Image
from pyarrow import parquet

from ornet_tf import atomic_write, metrics, registry
from ornet_tf.data import loading
from ornet_tf.data.source import Source
from ornet_tf.maps import boxes, sheets
from ornet_tf.runs import run_folder

Columns = Mapping[str, Mapping[str, Mapping[str, np.ndarray]]]  # row -> title -> column -> [N]


def write(
    folder: str,
    result: Mapping[str, Any],
    source: Source,
    measured: Mapping[str, Mapping[str, metrics.Metric]],
    *,
    cases: int,
) -> None:
    """Writes all files except images.png.

    per_image.parquet has the same columns as per_image.csv, with their dtypes and full precision.

    Args:
      folder: the folder to write to, which is created if it does not exist.
      result: the content of result.json.
      source: the evaluated images.
      measured: row -> name of the metric -> metric, with the results of these images.
      cases: how many of the worst and of the best images of each row are listed.
    """
    columns = {
        row: {title: values for metric in by_metric.values() for title, values in metric.per_image().items()}
        for row, by_metric in measured.items()
    }
    run_folder.write_json(os.path.join(folder, "result.json"), result)
    for name, text in (("table.md", table(result)), ("cases.md", _cases(result, source, columns, cases))):
        run_folder.write_text(os.path.join(folder, name), text)
    cells = _per_image(source, columns, main_title(result))
    _write_csv(os.path.join(folder, "per_image.csv"), cells)
    with atomic_write.open_file(os.path.join(folder, "per_image.parquet")) as file:
        parquet.write_table(pyarrow.table(cells), file)


def table(result: Mapping[str, Any]) -> str:
    """Returns Markdown with a table for each set of figures of a result."""
    lines = []
    for name, titles in result["metrics"].items():
        metric = registry.find("metrics", name)
        for title in titles:
            rows = {
                row: metric.cells(figures[title], result["threshold_split"])
                for row, figures in result["rows"].items()
            }
            lines += [f"{_describe_counts(result, title)}, {metric.titles[title]} (percent)", ""]
            head = list(next(iter(rows.values()), {}))
            lines += [f"| row | {' | '.join(head)} |", f"|---|{'---|' * len(head)}"]
            lines += [f"| {row} | {' | '.join(cells.values())} |" for row, cells in rows.items()]
            lines.append("")
    for split, count in result.get("images_trained_on", {}).items():
        if count or count is None:
            subject = f"{count} {split} images have" if count else f"It is not known which {split} images have"
            lines += [f"{subject} the pixels of an image that the run was trained on.", ""]
    if result["bootstrap_samples"]:
        lines += [f"In square brackets: 95 % intervals of {result['bootstrap_samples']} bootstrap samples.", ""]
    return "\n".join(lines)


def _describe_counts(result: Mapping[str, Any], title: str) -> str:
    """Describes the images that figures were measured on, and those that their thresholds were chosen on."""
    counts = next((figures[title] for figures in result["rows"].values()), result)
    text = metrics.describe_count(counts, result["split"])
    chosen_on = result.get("chosen_on", {}).get(title)
    if chosen_on:
        text += f", chosen thresholds from {metrics.describe_count(chosen_on, result['threshold_split'])}"
    return text


def main_title(result: Mapping[str, Any]) -> str:
    """Returns the title whose columns in per_image.csv have names without the title."""
    names = [title for titles in result["metrics"].values() for title in titles]
    return result["box_rule"] if result["box_rule"] in names else names[0]


def _per_image(source: Source, columns: Columns, main: str) -> dict[str, np.ndarray]:
    """Returns column -> cells, with a line per image: its name, label, and the columns of each row; rank only once."""
    cells: dict[str, np.ndarray] = {"name": np.asarray(source.names), "label": np.asarray(source.labels)}
    for row, figures in columns.items():
        for title, by_column in sorted(figures.items(), key=lambda item: item[0] != main):
            for column, values in by_column.items():
                key = column if column == "rank" else f"{column}_{row}" + ("" if title == main else f"_{title}")
                cells[key] = values
    return cells


def _write_csv(path: str, cells: Mapping[str, np.ndarray]) -> None:
    with atomic_write.open_file(path) as file, io.TextIOWrapper(file, encoding="utf-8", newline="") as text:
        writer = csv.writer(text)
        writer.writerow(cells)
        for line in zip(*cells.values()):
            writer.writerow([f"{cell:.4f}" if isinstance(cell, np.floating) else cell for cell in line])


def _cases(result: Mapping[str, Any], source: Source, columns: Columns, count: int) -> str:
    """Returns Markdown lists of each row's worst and best images; equal ones keep their order."""
    main = main_title(result)
    lines = []
    for row, figures in columns.items():
        column, values = next(iter(figures[main].items()))
        with_truth = np.flatnonzero(~np.isnan(values))
        for title, order in (("Worst", 1), ("Best", -1)):
            chosen = with_truth[np.argsort(order * values[with_truth], kind="stable")][:count]
            lines += [f"## {row}: {title.lower()} of {len(with_truth)} images ({main})", ""]
            lines += [f"| {title} | {column} | class |", "|---|---|---|"]
            for index in chosen:
                class_name = source.class_names[int(source.labels[index])]
                lines.append(f"| {source.names[index]} | {values[index]:.3f} | {class_name} |")
            lines.append("")
    return "\n".join(lines) if count else ""


def write_images(
    path: str,
    config: ConfigDict,
    predict_maps: Callable[[Mapping[str, tf.Tensor]], Mapping[str, np.ndarray]],
    source: Source,
) -> None:
    """Draws images of the split with each row's map, box at the fixed threshold, and ground truth.

    Args:
      path: the PNG file.
      config: the whole configuration.
      predict_maps: maps a batch of `loading.evaluation_batches` to row -> activation map [B, h, w, 1].
      source: the evaluated images.
    """
    options = config.evaluation
    count = min(options.gallery_images, len(source))
    if not count:
        return
    chosen = source.select(np.linspace(0, len(source) - 1, count).astype(int))
    find_boxes = tf.function(boxes.find_boxes, reduce_retracing=True, autograph=False)
    panels = []
    for batch in loading.evaluation_batches(config, chosen):
        rows = []
        for name, maps in predict_maps(batch).items():
            predicted = find_boxes(maps, tf.constant([options.threshold]), rule=options.box_rule)
            rows.append((name, maps, predicted.numpy()))
        for index, image in enumerate(batch["image"].numpy().astype(np.uint8)):
            truth = batch["boxes"][index].numpy()
            panels.append([
                sheets.panel(image, maps[index], predicted[index], truth, caption=name)
                for name, maps, predicted in rows
            ])
    sheet = Image.fromarray(sheets.grid(panels, title=f"{options.split}: boxes at {options.threshold}"))
    with atomic_write.open_file(path) as file:
        sheet.save(file, "PNG")
