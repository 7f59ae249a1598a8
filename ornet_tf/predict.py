"""Localizes the objects of images and folders of images: boxes as JSON, overlays as PNG.

  python -m ornet_tf.predict --config=configs/toybirds.py --workdir=runs/toybirds IMAGE_OR_FOLDER...
"""
from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm
from absl import logging
from ml_collections import ConfigDict
from PIL import Image

from ornet_tf import app, paths
from ornet_tf.data import decoding, image_files, transforms
from ornet_tf.errors import UserError
from ornet_tf.inference import localizer, prediction_files
from ornet_tf.maps import visualize
from ornet_tf.runs import interruption, run_folder

_CHUNK_BYTES = 2**27  # of images that are in the graph at once, encoded and decoded


def main(config: ConfigDict, workdir: str, inputs: Sequence[str]) -> None:
    """Predicts and logs where the results are; broken images are named at the end."""
    results, broken = predict(config, workdir, inputs)
    logging.info("%d images: %s", len(results), os.path.join(workdir, "predictions", "predictions.json"))
    if broken:
        details = "; ".join(f"{paths.readable(path)} ({reason})" for path, reason in broken)
        raise UserError(f"{len(broken)} of {len(results) + len(broken)} images could not be read: {details}.")


def find_images(inputs: Iterable[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Finds the files among `inputs`, whatever their names, and those that `image_files.find` finds in the folders.

    Returns:
      Their paths, and the (path, reason) pairs of folders below that can't be read.

    Raises:
      FileNotFoundError: if an input is neither.
      UserError: if there is no image at all.
    """
    found, unreadable = [], []
    for path in inputs:
        if os.path.isdir(path):
            below = image_files.find(path)
            found += [os.path.join(path, name) for name in below.images]
            unreadable += [(os.path.join(path, name), f"folder not read: {why}") for name, why in below.unreadable]
        elif os.path.isfile(path):
            found.append(path)
        else:
            raise FileNotFoundError(f"{path}: no such file or folder; give images (JPEG, PNG) or folders of them.")
    if not found:
        reasons = "".join(f" {paths.readable(path)} ({reason})." for path, reason in unreadable)
        raise UserError(
            f"No image to predict on: name JPEG or PNG files, or folders of them, after the flags.{reasons}"
        )
    return found, unreadable


def predict(
    config: ConfigDict, workdir: str, inputs: Sequence[str]
) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    r"""Writes `<workdir>/predictions`: predictions.json and a PNG overlay for each image.

    They replace what an earlier run wrote there, once the first image is done. Each image is written at once, so
    that whatever ends the run leaves those before; see `prediction_files`.

    Returns:
      One dictionary per image: file, box [ymin, xmin, ymax, xmax] in fractions of the upright image, box_pixels,
      score, class, class_name, overlay; and the (path, reason) pairs of images that can't be read or drawn, and of
      folders that can't be read. Bytes of names that are not UTF-8 stand in file and overlay as `\xNN`.

    Raises:
      OSError: if something can't be written.
    """
    found, unreadable = find_images(inputs)
    folder = os.path.join(workdir, "predictions")
    found = _without_overlays(found, folder)
    model = localizer.load(config, workdir)
    view = transforms.evaluation_view(resize=config.input.resize, crop=config.input.crop)
    limits = {key: config.export[key] for key in ("max_bytes", "max_pixels")}
    broken: list[tuple[str, str]] = []
    with contextlib.ExitStack() as held:
        held.enter_context(run_folder.lock(workdir, "predictions", use="predicts there"))
        predictions = held.enter_context(prediction_files.writing(folder))
        progress = held.enter_context(
            tqdm.tqdm(total=len(found), desc="predict", unit="image", mininterval=1, dynamic_ncols=True)
        )
        for chunk in _chunks(found, limits["max_bytes"], config.evaluation.batch_size, broken):
            outputs = model.localize(tf.constant([encoded for _, encoded in chunk]))
            for (path, encoded), values in zip(chunk, zip(*(value.numpy() for value in outputs.values()))):
                interruption.check()
                row = dict(zip(outputs, values))
                why = row["status"].decode()
                if not why:
                    try:
                        overlay = _draw(encoded, row, view, limits)
                        predictions.add(path, {"file": paths.readable(path), **_entry(row, overlay.size)}, overlay)
                        del overlay  # as large as the image; the name would keep it until the next one is drawn
                    except (tf.errors.OpError, MemoryError) as error:
                        why = decoding.refusal_reason(error)
                if why:
                    broken.append((path, why))
                progress.update(len(predictions.entries) + len(broken) - progress.n)
        progress.update(len(found) - progress.n)
    return predictions.entries, broken + unreadable


def _without_overlays(found: Sequence[str], folder: str) -> list[str]:
    """Returns the images that do not lie in the folder of predictions: this run replaces those.

    Raises:
      UserError: if no image is left.
    """
    inside = os.path.join(os.path.realpath(folder), "")
    kept = [path for path in found if not os.path.realpath(path).startswith(inside)]
    if not kept:
        raise UserError(f"All images to predict on lie in {folder}, which this run writes anew; copy them elsewhere.")
    if len(kept) < len(found):
        logging.warning("%d images in %s are passed over: this run replaces them.", len(found) - len(kept), folder)
    return kept


def _chunks(
    found: Iterable[str], max_bytes: int, most: int, broken: list[tuple[str, str]]
) -> Iterator[list[tuple[str, bytes]]]:
    """Yields (path, file) pairs, as many as the graph may hold decoded at once; adds to `broken` what can't be read."""
    chunk: list[tuple[str, bytes]] = []
    left = _CHUNK_BYTES
    for path in found:
        try:
            encoded = _read(path, max_bytes)
        except OSError as error:
            broken.append((path, decoding.refusal_reason(error)))
            continue
        needed = len(encoded) + _decoded_bytes(encoded)
        if chunk and (len(chunk) == most or needed > left):
            yield chunk
            chunk, left = [], _CHUNK_BYTES
        chunk.append((path, encoded))
        left -= needed
    if chunk:
        yield chunk


def _read(path: str, max_bytes: int) -> bytes:
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > max_bytes:  # as the gate says it, without the file in memory
            raise OSError(f"{size} bytes; at most {max_bytes} are read")
        return file.read()


def _decoded_bytes(encoded: bytes) -> int:
    """Returns what an image takes decoded; one of another size than the graph reads by itself fills a chunk."""
    try:
        return 3 * int(tf.reduce_prod(_size(tf.constant(encoded))))
    except tf.errors.OpError:
        return _CHUNK_BYTES


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def _size(encoded):
    return decoding.read_size(encoded)


def _entry(row: Mapping[str, np.ndarray], size: tuple[int, int]) -> dict[str, Any]:
    """Returns an image's entry of predictions.json; `size` is its width and height."""
    box, (width, height) = row["detection_boxes"][0], size
    return {
        "box": [round(float(v), 6) for v in box],
        "box_pixels": [round(float(v) * side, 1) for v, side in zip(box, (height, width, height, width))],
        "score": round(float(row["detection_scores"][0]), 6),
        "class": int(row["detection_classes"][0]),
        "class_name": row["detection_class_names"][0].decode(),
    }


def _draw(
    encoded: bytes, row: Mapping[str, np.ndarray], view: transforms.View, limits: Mapping[str, int]
) -> Image.Image:
    """Returns the image with its map, laid over the part that the network saw, and its box.

    Raises:
      tf.errors.OpError: if it can't be decoded.
      MemoryError: if it does not fit.
    """
    seen = transforms.boxes_out_of_view(tf.constant([[0.0, 0.0, 1.0, 1.0]]), view).numpy()[0]
    # Pixels have no name of their own here: each copy of a photograph is gone before the next one is made.
    canvas = Image.fromarray(
        visualize.overlay(decoding.decode(encoded, **limits).numpy(), row["activation_map"], extent=seen)
    )
    visualize.outline(canvas, row["detection_boxes"][0])
    return canvas


def start() -> None:
    """Runs the program."""
    app.run(
        main,
        takes_files=True,
        when_ended="what this run has predicted by now, if anything, is in predictions of --workdir, and the same "
        "command starts anew",
    )


if __name__ == "__main__":
    start()
