"""Localizes the objects in images and folders of images with the weights of a run."""
from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import tqdm
from absl import logging
from ml_collections import ConfigDict

from ornet_tf import paths, registry
from ornet_tf.data import image_files, loading
from ornet_tf.errors import UserError
from ornet_tf.inference import (
    annotations,
    labelled_method,
    localize_files,
    localizer,
    prediction_files,
    written_predictions,
)
from ornet_tf.inference.given_labels import Differences, GivenLabels
from ornet_tf.inference.run_model import RunModel
from ornet_tf.runs import interruption, run_folder, training_data

# At most. One batch is decoded and drawn while the other one is computed.
BATCHES = {"batch_size": 8, "in_flight": 2}


def find_images(inputs: Iterable[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Lists the files among `inputs`, whatever their names, and the images in the folders (see `image_files.find`).

    Returns:
      The paths, and the (path, sentence) pairs of subfolders that cannot be read.

    Raises:
      FileNotFoundError: if an input is neither a file nor a folder.
      UserError: if there is no image at all.
    """
    found, unreadable = [], []
    for path in inputs:
        if os.path.isdir(path):
            below = image_files.find(path)
            found += [os.path.join(path, name) for name in below.images]
            for name, why in below.unreadable:
                unreadable.append((os.path.join(path, name), f"Cannot read the folder: {why}."))
        elif os.path.isfile(path):
            found.append(path)
        else:
            raise FileNotFoundError(f"{path}: no such file or folder; give images (JPEG, PNG) or folders of them.")
    if not found:
        reasons = "".join(f" {paths.readable(path)}: {reason}" for path, reason in unreadable)
        raise UserError(
            f"No image to predict on: name JPEG or PNG files, or folders of them, after the flags.{reasons}"
        )
    return found, unreadable


def _read_decisions(path: str, found: Sequence[str]) -> dict[str, str]:
    """Returns the decisions of a review about images that are to be predicted."""
    reviewed = written_predictions.read_decisions(os.fspath(paths.local(path, "--decisions")))
    if unknown := sorted(reviewed.keys() - {paths.readable(path) for path in found}):
        raise UserError(
            f"--decisions: expected decisions about the images to predict on, got one about {unknown[0]!r} "
            f"({len(unknown)} unknown in all); name its image too, or give the decisions about these images."
        )
    return reviewed


def predict(
    config: ConfigDict,
    workdir: str,
    inputs: Sequence[str],
    *,
    formats: Sequence[str] = (),
    min_score: float = 0.0,
    labels: str = "",
    decisions: str = "",
) -> tuple[int, list[tuple[str, str]]]:
    """Writes `<workdir>/predictions`: predictions.json, overlays, a page to review them, and a folder for each format.

    They replace the results of an earlier run when the first image is finished. Each result is written at once, so it
    remains however the program ends; see `prediction_files`. No result stays in memory. Formats are written at the end,
    also after an error or a signal.

    Args:
      config: the experiment.
      workdir: the folder of its run.
      inputs: images, and folders of images.
      formats: plug-ins of `ornet_tf.formats`.
      min_score: formats leave out boxes with a lower box score; predictions.json has all boxes.
      decisions: a file with the decisions of a review; formats leave out the images that it rejects. Empty for none.
      labels: the path of `GivenLabels`, which give the classes in place of the model; empty for none. Images whose
        given and predicted class disagree are logged at the end.

    Returns:
      The number of images that are in predictions.json (see `localize_files` for their entries), and the (path,
      sentence) pairs of images that cannot be read and of folders that cannot be read.

    Raises:
      OSError: if a result cannot be written.
      UserError: if there is no image, an image is in no folder of a class, decisions are not about these images or
        for no format, or `min_score` is no number from 0 to 1.
    """
    written_predictions.check_min_score(min_score)
    if decisions and not formats:
        raise UserError("--decisions: expected --format as well, which decisions are for; name a format.")
    found, unreadable = find_images(inputs)
    folder = os.path.join(workdir, "predictions")
    found = prediction_files.without_overlays(found, folder)
    class_names = training_data.class_names(workdir)
    # Before the model is built, as something may be wrong.
    given, known, classes = None, None, None
    if labels:
        given, known = GivenLabels(labels, class_names), labelled_method.GivenClasses()
        classes = [given.index(path) for path in found]
    reviewed = _read_decisions(decisions, found) if decisions else {}
    entries = localize_files.localize_files(
        RunModel(localizer.load(config, workdir, given=known), config.input.crop, known),
        found,
        signature="localize",
        folder=folder,
        class_names=class_names,
        labels=given,
        classes=classes,
        extent=loading.view_extent(config),
        max_bytes=config.export.max_bytes,
        **BATCHES | {"batch_size": min(config.evaluation.batch_size, BATCHES["batch_size"])},
    )
    outcome = _Outcome()
    with run_folder.lock(workdir, "predictions", use="predicts there"):
        try:
            _collect(entries, found, reviewed, outcome)
        except BaseException:
            if outcome.has_results:  # else predictions.json is that of an earlier run
                try:
                    _write_formats(folder, formats, min_score, outcome.decisions)
                except (OSError, UserError) as error:
                    logging.warning("The formats are not written: %s", error)
            raise
        finally:
            outcome.differences.log()
        _write_formats(folder, formats, min_score, outcome.decisions)
    return len(found) - len(outcome.failed), outcome.failed + unreadable


@dataclasses.dataclass
class _Outcome:
    """What remains of the entries in memory: those of failed images, the decisions about others, and differences."""

    failed: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    has_results: bool = False
    decisions: dict[str, str] = dataclasses.field(default_factory=dict)
    differences: Differences = dataclasses.field(default_factory=Differences)


def _collect(
    entries: Iterator[dict[str, Any]], found: Sequence[str], reviewed: Mapping[str, str], outcome: _Outcome
) -> None:
    """Takes all entries, which writes them, and adds to the outcome."""
    bar = {"desc": "predict", "unit": "image", "mininterval": 1, "dynamic_ncols": True}
    with contextlib.closing(entries), tqdm.tqdm(total=len(found), **bar) as progress:
        for path, entry in zip(found, entries, strict=True):  # strict: to the end, where predictions.json is written
            interruption.check()
            if "error" in entry:
                outcome.failed.append((path, entry["error"]))
            else:
                outcome.has_results = True
                outcome.differences.add(entry)
                if entry["file"] in reviewed:
                    outcome.decisions[entry["file"]] = reviewed[entry["file"]]
            progress.update()


def _write_formats(folder: str, formats: Sequence[str], min_score: float, decisions: Mapping[str, str]) -> None:
    """Writes formats, and warns of those of an earlier prediction that stay."""
    if formats:
        annotations.write(folder, formats, min_score=min_score, decisions=decisions)
    for name in registry.choices("formats"):
        if name not in formats and os.path.isdir(os.path.join(folder, name)):
            logging.warning(
                "%s is of an earlier prediction; remove it, or write it again: python -m ornet_tf.formats "
                "--predictions=%s --format=%s", os.path.join(folder, name), folder, name,
            )
