"""Localizes image files: asks a model, draws the boxes and writes the results. Prediction and the client share it.

NumPy and Pillow only: the client runs where TensorFlow is not installed.
"""
from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from ornet_tf.inference import batches, prediction_files
from ornet_tf.inference.detections import Detections
from ornet_tf.maps import visualize
from ornet_tf.paths import readable


def localize_files(
    model: batches.Model,
    paths: Sequence[str],
    *,
    signature: str,
    folder: str = "",
    read: Callable[[str], Image.Image],
    extent: Sequence[float] | None = None,
    **options: Any,
) -> Iterator[dict[str, Any]]:
    r"""Yields one entry per file, in order. An image that fails affects no other image.

    Close the iterator if you leave it early (`contextlib.closing`): this finishes the files in `folder`.

    Args:
      model: the model to ask.
      paths: the image files.
      signature: the signature to ask.
      folder: where overlays and predictions.json are written (see `prediction_files`); empty for none.
      read: returns the upright image of a file, mode RGB; it raises OSError or MemoryError if it cannot.
      extent: the part of the image that the activation map covers, [ymin, xmin, ymax, xmax] in fractions; None draws no
        map.
      **options: `batch_size`, `in_flight` and `max_bytes` of `batches.localize_each`.

    Yields:
      `file`, and either `error`, a sentence, or the keys of `Detections.as_dict`: box [ymin, xmin, ymax, xmax] in
      fractions of the upright image, score, class, class_name, others. With a folder also `overlay`, and `box_pixels`
      where there is a box. Bytes of names that are not UTF-8 are written as `\xNN`.

    Raises:
      ConnectionError: if the server cannot be reached; the remaining files have no entry.
      OSError: if a result cannot be written.
      UserError: if a number is out of its range.
    """
    answers = batches.localize_each(model, paths, signature=signature, **options)
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.closing(answers))
        results = stack.enter_context(prediction_files.writing(folder)) if folder else None
        for path, answer in zip(paths, answers):
            entry = {"file": readable(path), **_entry(answer)}
            if results is not None and "error" not in entry:
                try:
                    image = annotate(read(path), answer, extent)
                except (OSError, MemoryError) as error:
                    entry = {"file": entry["file"], "error": f"No overlay: {error or type(error).__name__}"}
                else:
                    entry = results.add(path, _add_pixels(entry, image.size), image)
                    del image  # it is as large as the photograph, and the next one is read soon
            yield entry


def _entry(answer: batches.Answer) -> dict[str, Any]:
    """Returns the result of one image: `error`, or the keys of `Detections.as_dict`.

    Raises:
      ConnectionError: if the server cannot be reached.
    """
    if isinstance(answer, ConnectionError):
        raise answer
    if isinstance(answer, Exception):
        return {"error": str(answer) or type(answer).__name__}
    if answer.status:
        return {"error": f"The model cannot read it: {answer.status}."}
    return answer.as_dict()


def _add_pixels(entry: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    """Returns an entry with `box_pixels` after `box`; `size` is width and height of the image."""
    if entry["box"] is None:
        return entry
    sides = (size[1], size[0]) * 2
    pixels = [round(edge * side, 1) for edge, side in zip(entry["box"], sides)]
    return {"file": entry["file"], "box": entry["box"], "box_pixels": pixels, **entry}


def annotate(image: Image.Image, detections: Detections, extent: Sequence[float] | None = None) -> Image.Image:
    """Draws detections: the activation map if `extent` is given, all boxes, and the class of the first one.

    Args:
      image: mode RGB, upright. It may be drawn on: a copy of a photograph is large.
      detections: the detections of the image.
      extent: see `localize_files`.

    Returns:
      The image with the drawing.
    """
    if extent is not None and detections.activation_map is not None:
        image = Image.fromarray(visualize.overlay(np.asarray(image), detections.activation_map, extent=extent))
    draw_boxes(image, detections.boxes, label(detections))
    return image


def label(detections: Detections) -> str:
    """Returns class and score of the first box, such as "Cardinal 0.97", or "" if there is no box or no class."""
    return f"{detections.class_names[0]} {detections.scores[0]:.2f}" if detections.class_names else ""


def draw_boxes(image: Image.Image, boxes: Sequence[Sequence[float]], text: str) -> None:
    """Draws boxes onto an image, and a text at the first one.

    Args:
      image: mode RGB, upright.
      boxes: float [D, 4], [ymin, xmin, ymax, xmax] in fractions of the image; D may be 0.
      text: is written inside the first box, at its upper left corner. It is left out if it needs more than half of the
        width: it would hide the object.
    """
    width, height = image.size
    line = max(2, round(min(height, width) / 100))
    boxes = np.reshape(boxes, [-1, 4])
    visualize.outline(image, boxes, width=line)
    pen = ImageDraw.Draw(image)
    if text and len(boxes) and pen.textlength(text) <= width / 2:
        corner = (round(boxes[0, 1] * width) + 2 * line, round(boxes[0, 0] * height) + 2 * line)
        pen.rectangle(pen.textbbox(corner, text), fill=(255, 255, 255))
        pen.text(corner, text, fill=visualize.PREDICTED)
