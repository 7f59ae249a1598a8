"""Localizes the objects of pictures and folders of pictures: boxes as JSON, overlays as PNG.

  python -m ornet_tf.predict --config=configs/toybirds.py --workdir=runs/toybirds IMAGE_OR_FOLDER...
"""
from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm
from absl import logging
from ml_collections import ConfigDict
from PIL import Image

from ornet_tf import app, images, localizer, run_folder, transforms, visualize
from ornet_tf.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png")


def main(config: ConfigDict, workdir: str, inputs: Sequence[str]) -> None:
    """Predicts and logs where the results are; broken pictures are named at the end."""
    results, broken = predict(config, workdir, inputs)
    logging.info("%d pictures: %s", len(results), os.path.join(workdir, "predictions", "predictions.json"))
    if broken:
        details = "; ".join(f"{path} ({reason})" for path, reason in broken)
        raise UserError(f"{len(broken)} of {len(results) + len(broken)} pictures could not be read: {details}.")


def find_pictures(inputs: Iterable[str]) -> list[str]:
    """Returns the files among `inputs` and the JPEG and PNG files below the folders among them.

    Raises:
      FileNotFoundError: if an input is neither.
      UserError: if there is no picture at all.
    """
    found = []
    for path in inputs:
        if os.path.isdir(path):
            for folder, _, names in sorted(os.walk(path)):
                found += [os.path.join(folder, n) for n in sorted(names) if n.lower().endswith(SUFFIXES)]
        elif os.path.isfile(path):
            found.append(path)
        else:
            raise FileNotFoundError(f"{path}: no such file or folder; give pictures (JPEG, PNG) or folders of them.")
    if not found:
        raise UserError("No picture to predict on: name JPEG or PNG files, or folders of them, after the flags.")
    return found


def predict(
    config: ConfigDict, workdir: str, inputs: Sequence[str]
) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """Writes `<workdir>/predictions`: predictions.json and a PNG overlay for each picture.

    Returns:
      One dictionary per picture: file, box [ymin, xmin, ymax, xmax] in fractions of the upright picture, box_pixels,
      score, class, class_name, overlay; and the (path, reason) pairs of pictures that can't be read.
    """
    paths = find_pictures(inputs)
    model = localizer.load(config, workdir)
    folder = os.path.join(workdir, "predictions")
    os.makedirs(folder, exist_ok=True)
    view = transforms.evaluation_view(resize=config.input.resize, crop=config.input.crop)
    limits = {key: config.export[key] for key in ("max_bytes", "max_pixels")}
    results, broken = [], []
    with tqdm.tqdm(total=len(paths), desc="predict", unit="image", mininterval=1, dynamic_ncols=True) as progress:
        for start in range(0, len(paths), config.evaluation.batch_size):
            chunk = paths[start : start + config.evaluation.batch_size]
            readable, unreadable = _read(chunk, limits)
            broken += unreadable
            if readable:
                outputs = model.localize(tf.constant([encoded for _, encoded, _ in readable]))
                rows = zip(*(value.numpy() for value in outputs.values()))
                for (path, _, picture), row in zip(readable, rows):
                    stem = os.path.splitext(os.path.basename(path))[0]
                    overlay = os.path.join(folder, f"{len(results):05d}_{stem}.png")
                    results.append(_result(path, picture, dict(zip(outputs, row)), view, overlay))
            progress.update(len(chunk))
    run_folder.write_json(os.path.join(folder, "predictions.json"), results)
    return results, broken


def _read(
    paths: Sequence[str], limits: Mapping[str, int]
) -> tuple[list[tuple[str, bytes, np.ndarray]], list[tuple[str, str]]]:
    """Returns (path, file, upright pixels) of what can be decoded and (path, reason) of what can't."""
    readable, broken = [], []
    for path in paths:
        try:
            encoded = tf.io.read_file(path)
            readable.append((path, encoded.numpy(), images.decode(encoded, **limits).numpy()))
        except tf.errors.OpError as error:
            broken.append((path, images.reason(error)))
    return readable, broken


def _result(
    path: str, picture: np.ndarray, row: Mapping[str, np.ndarray], view: transforms.View, overlay: str
) -> dict[str, Any]:
    """Draws the overlay of one picture and returns its entry of predictions.json."""
    height, width = picture.shape[:2]
    box = row["detection_boxes"][0]
    _draw(picture, row["activation_map"], box, view, overlay)
    return {
        "file": path,
        "box": [round(float(v), 6) for v in box],
        "box_pixels": [round(float(v) * side, 1) for v, side in zip(box, (height, width, height, width))],
        "score": round(float(row["detection_scores"][0]), 6),
        "class": int(row["detection_classes"][0]),
        "class_name": row["detection_class_names"][0].decode(),
        "overlay": overlay,
    }


def _draw(picture: np.ndarray, activation_map: np.ndarray, box: np.ndarray, view: transforms.View, path: str) -> None:
    """Writes the picture with its map, laid over the part that the network saw, and its box."""
    height, width = picture.shape[:2]
    whole = np.array([[0.0, 0.0, 1.0, 1.0]], np.float32)
    ymin, xmin, ymax, xmax = transforms.boxes_out_of_view(whole, view).numpy()[0]
    top, left, bottom, right = (round(float(v)) for v in (ymin * height, xmin * width, ymax * height, xmax * width))
    seen = Image.fromarray(activation_map).resize((right - left, bottom - top), Image.Resampling.BILINEAR)
    canvas = np.zeros((height, width), np.float32)
    canvas[top:bottom, left:right] = np.asarray(seen)
    Image.fromarray(visualize.draw_boxes(visualize.overlay(picture, canvas), box[np.newaxis])).save(path)


if __name__ == "__main__":
    app.run(main, takes_files=True)
