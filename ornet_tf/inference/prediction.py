"""Localizes the objects in images and folders of images with the weights of a run."""
from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf
import tqdm
from ml_collections import ConfigDict
from PIL import Image

from ornet_tf import paths
from ornet_tf.data import decoding, image_files, loading
from ornet_tf.errors import UserError
from ornet_tf.inference import (
    annotations,
    detections,
    labelled_method,
    localize_files,
    localizer,
    overlay,
    prediction_files,
)
from ornet_tf.inference.given_labels import Differences, GivenLabels
from ornet_tf.inference.written_predictions import read_decisions
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
      UserError: if there is no image, or an image is in no folder of a class.
    """
    found, unreadable = find_images(inputs)
    folder = os.path.join(workdir, "predictions")
    found = prediction_files.without_overlays(found, folder)
    class_names = training_data.class_names(workdir)
    given = GivenLabels(labels, class_names) if labels else None
    # Before the model is built, as something may be wrong.
    classes, known = None, None
    if given:
        classes, known = [given.index(path) for path in found], labelled_method.GivenClasses()
    if decisions:
        read_decisions(os.fspath(paths.local(decisions, "--decisions")))
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
    failed, has_results, differences = [], False, Differences()
    with run_folder.lock(workdir, "predictions", use="predicts there"):
        try:
            bar = {"desc": "predict", "unit": "image", "mininterval": 1, "dynamic_ncols": True}
            with contextlib.closing(entries), tqdm.tqdm(total=len(found), **bar) as progress:
                # strict: to the end, where predictions.json is written
                for path, entry in zip(found, entries, strict=True):
                    interruption.check()
                    if "error" in entry:
                        failed.append((path, entry["error"]))
                    else:
                        has_results = True
                        differences.add(entry)
                    progress.update()
            has_results = True
        finally:
            if formats and has_results:  # not those of an earlier run
                annotations.write(folder, formats, min_score=min_score, decisions=decisions)
            differences.log()
    return len(found) - len(failed), failed + unreadable


class RunModel:
    """The localizer of a run as a `batches.Model`. It has the signature "localize" only, and hands on the images.

    Files are decoded one by one in the calling threads: of the pixels of a large image, only those of the view and of
    the overlay remain.
    """

    def __init__(self, model: localizer.Localizer, crop: int, given: labelled_method.GivenClasses | None = None):
        """Traces the graphs; `given` is the one with which the localizer was loaded, if the classes are known."""

        def localize(views, classes):
            with given.of_batch(classes) if given is not None else contextlib.nullcontext():
                return model.localize_views(views, tf.fill([tf.shape(views)[0]], ""))

        def traced(function, *specs):
            signature = [tf.TensorSpec(*spec) for spec in specs]
            return tf.function(function, input_signature=signature, autograph=False).get_concrete_function()

        self._decode = model.decode
        self._size = traced(decoding.read_size, ([], tf.string))
        self._to_view = traced(model.to_view, ([None, None, 3], tf.uint8), ([4], tf.float32))
        self._localize = traced(localize, ([None, crop, crop, 3],), ([None], tf.int32))

    def localize(
        self, images: Sequence[bytes], *, signature: str, classes: Sequence[int] | None = None
    ) -> list[detections.Detections]:
        """Finds the objects in encoded images; maps and boxes are those of `classes` if the method can."""
        del signature
        read = [self._try_to_read(image) for image in images]
        readable = [
            (one[0], label)
            for one, label in zip(read, classes or [0] * len(read), strict=True)
            if not isinstance(one, str)
        ]
        found = iter(self._localize_views(*zip(*readable)) if readable else [])
        return [
            detections.Detections(np.zeros([0, 4], np.float32), status=one)
            if isinstance(one, str)
            else dataclasses.replace(next(found), decoded=one[1])
            for one in read
        ]

    def _localize_views(self, views: Sequence[tf.Tensor], classes: Sequence[int]) -> list[detections.Detections]:
        outputs = self._localize(tf.stack(views), tf.constant(classes, tf.int32))
        return detections.from_outputs({name: value.numpy() for name, value in outputs.items()}, len(views))

    def _try_to_read(self, encoded: bytes) -> tuple[tf.Tensor, detections.Decoded | None] | str:
        """Returns the view, and the image for the overlay; or why the file can't be read."""
        try:
            return self._read(encoded)
        except MemoryError:
            return "it needs more memory than there is"
        except tf.errors.OpError as error:
            return decoding.refusal_reason(error)

    def _read(self, encoded: bytes) -> tuple[tf.Tensor, detections.Decoded | None]:
        pixels, frame = self._decode(encoded)
        size = tuple(self._size(tf.constant(encoded)).numpy()[::-1].tolist())
        image = overlay.shrink(Image.fromarray(pixels.numpy()), size)
        return self._to_view(pixels, frame), None if image is None else detections.Decoded(image, size)

    def close(self) -> None:
        """Does nothing, as there is no connection."""
