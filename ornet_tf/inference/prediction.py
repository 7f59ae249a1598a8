"""Localizes the objects in images and folders of images with the weights of a run."""
from __future__ import annotations

import contextlib
import functools
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf
import tqdm
from ml_collections import ConfigDict
from PIL import Image

from ornet_tf import paths
from ornet_tf.data import decoding, image_files, transforms
from ornet_tf.errors import UserError
from ornet_tf.inference import detections, localize_files, localizer, prediction_files
from ornet_tf.runs import interruption, run_folder

_MAX_BATCH = 8  # the graph decodes the images of a batch side by side, up to 150 MB each


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


def predict(
    config: ConfigDict, workdir: str, inputs: Sequence[str]
) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """Writes `<workdir>/predictions`: predictions.json, and a PNG overlay of each image.

    They replace the results of an earlier run when the first image is finished. Each result is written at once, so it
    remains however the program ends; see `prediction_files`.

    Returns:
      One dictionary per image (see `localize_files`), and the (path, sentence) pairs of images that cannot be read or
      drawn and of folders that cannot be read.

    Raises:
      OSError: if a result cannot be written.
    """
    found, unreadable = find_images(inputs)
    folder = os.path.join(workdir, "predictions")
    found = prediction_files.without_overlays(found, folder)
    limits = {key: config.export[key] for key in ("max_bytes", "max_pixels")}
    view = transforms.evaluation_view(resize=config.input.resize, crop=config.input.crop)
    entries = localize_files.localize_files(
        _RunModel(localizer.load(config, workdir)),
        found,
        signature="localize",
        folder=folder,
        read=functools.partial(_read, limits=limits),
        extent=transforms.boxes_out_of_view(tf.constant([[0.0, 0.0, 1.0, 1.0]]), view).numpy()[0],
        batch_size=min(config.evaluation.batch_size, _MAX_BATCH),
        in_flight=1,
        max_bytes=limits["max_bytes"],
    )
    results, failed = [], []
    with (
        run_folder.lock(workdir, "predictions", use="predicts there"),
        contextlib.closing(entries),
        tqdm.tqdm(total=len(found), desc="predict", unit="image", mininterval=1, dynamic_ncols=True) as progress,
    ):
        for path, entry in zip(found, entries):
            interruption.check()
            if "error" in entry:
                failed.append((path, entry["error"]))
            else:
                results.append(entry)
            progress.update()
    return results, failed + unreadable


class _RunModel:
    """The localizer of a run as a `batches.Model`. It has the signature "localize" only."""

    def __init__(self, model: localizer.Localizer):
        self._model = model

    def localize(self, images: Sequence[bytes], *, signature: str) -> list[detections.Detections]:
        """Finds the objects in encoded images."""
        del signature
        outputs = self._model.localize(tf.constant(images))
        return detections.from_outputs({name: value.numpy() for name, value in outputs.items()}, len(images))

    def close(self) -> None:
        """Does nothing, as there is no connection."""


def _read(path: str, limits: Mapping[str, int]) -> Image.Image:
    """Returns an image as the graph decodes it.

    Raises:
      OSError: if the file cannot be read or decoded.
    """
    try:
        return Image.fromarray(decoding.decode(pathlib.Path(path).read_bytes(), **limits).numpy())
    except tf.errors.OpError as error:
        raise OSError(decoding.refusal_reason(error)) from error
