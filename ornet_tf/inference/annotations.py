"""Writes predictions in the formats of annotation tools. TensorFlow is not imported."""
from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence

from absl import logging

from ornet_tf import paths, registry
from ornet_tf.errors import UserError
from ornet_tf.inference.written_predictions import WrittenPredictions, read_decisions


def write(
    predictions: str,
    formats: Sequence[str],
    *,
    output: str = "",
    min_score: float = 0.0,
    decisions: str | Mapping[str, str] = "",
    labels: str = "",
    **options: str,
) -> None:
    """Writes `<output>/<format>/` for each format.

    Args:
      predictions: the folder of predictions.
      formats: names of plug-ins of `ornet_tf.formats`.
      output: the folder that holds the folders of formats; empty for `predictions`.
      min_score: boxes with a lower box score are left out.
      decisions: what `read_decisions` returns, or the path of its file; rejected images are left out. Empty for none.
      labels: the path of `GivenLabels`, which give the classes in place of the model. Empty for none.
      **options: options of formats; a format that lacks one ignores it.

    Raises:
      OSError: if something can't be read or written.
      UserError: if no format is given or one is unknown, or predictions or decisions are not what they should be.
    """
    if not formats:
        known = ", ".join(registry.choices("formats"))
        raise UserError(f"--format: expected at least one of {known}, got none; is a variable unset?")
    writers = {name: registry.find("formats", name, where="--format") for name in formats}
    predictions = os.fspath(paths.local(predictions, "--predictions"))
    output = os.fspath(paths.local(output, "--output")) if output else predictions
    if isinstance(decisions, str):
        decisions = read_decisions(os.fspath(paths.local(decisions, "--decisions"))) if decisions else {}
    images = WrittenPredictions(predictions, min_score=min_score, decisions=decisions, labels=labels)
    of_run = os.path.basename(predictions) == "predictions"  # else a folder of `serving.client --output_dir`
    options = {"model_version": os.path.basename(os.path.dirname(predictions) if of_run else predictions), **options}
    for name, write_images in writers.items():
        folder = os.path.join(output, name)
        taken = inspect.signature(write_images).parameters.keys() & options.keys()
        write_images(images, images.class_names, folder, **{key: options[key] for key in taken})
        logging.info("%s describes %d images below %s.", paths.readable(folder), images.count, images.folder)
