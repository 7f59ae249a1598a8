"""Localizes image files: asks a model, draws the boxes and writes the results. Prediction and the client share it.

NumPy and Pillow only: the client runs where TensorFlow is not installed.
"""
from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ornet_tf.inference import batches, overlay, prediction_files
from ornet_tf.inference.detections import Detections
from ornet_tf.inference.given_labels import GivenLabels
from ornet_tf.paths import readable


class _Result(NamedTuple):
    """What remains of an image: its entry without the file, and its overlay, a JPEG, if one was asked for."""

    entry: dict[str, Any]
    overlay: bytes = b""


def localize_files(
    model: batches.Model,
    paths: Sequence[str],
    *,
    signature: str,
    folder: str = "",
    class_names: Sequence[str] | None = None,
    labels: GivenLabels | None = None,
    extent: Sequence[float] | None = None,
    **options: Any,
) -> Iterator[dict[str, Any]]:
    r"""Yields one entry per file, in order. An image that fails affects no other image.

    Each file is read once. The threads that ask the model also draw, so one batch is drawn while the next one is
    computed. Close the iterator if you leave it early (`contextlib.closing`): this finishes the files in `folder`.

    Args:
      model: the model to ask.
      paths: the image files.
      signature: the signature to ask.
      folder: where overlays and predictions.json are written (see `prediction_files`); empty for none.
      class_names: of all classes, for formats that list them; None if unknown.
      labels: gives the classes in place of the model; None to keep the predicted ones.
      extent: the part of the image that the activation map covers, [ymin, xmin, ymax, xmax] in fractions; None draws no
        map.
      **options: `batch_size`, `in_flight`, `max_bytes` and `classes` of `batches.localize_each`.

    Yields:
      `file`, and either `error`, a sentence, or the keys of `Detections.as_dict`: box [ymin, xmin, ymax, xmax] in
      fractions of the upright image, or None; box_score, score, class, class_name, others. With a folder also
      `overlay`; `width` and `height` of the upright original image, in pixels; and `box_pixels`, in its pixels, where
      there is a box. Bytes of names that are not UTF-8 are written as `\xNN`.

    Raises:
      ConnectionError: if the server cannot be reached; the remaining files have no entry.
      OSError: if a result cannot be written.
      UserError: if a number is out of its range.
    """
    finish = functools.partial(_draw, extent=extent) if folder else _describe
    answers = batches.localize_each(model, paths, signature=signature, finish=finish, **options)
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.closing(answers))
        results = stack.enter_context(prediction_files.writing(folder, class_names)) if folder else None
        for path, answer in zip(paths, answers, strict=True):
            result = _Result(_error(answer)) if isinstance(answer, Exception) else answer
            entry = {"file": readable(path), **result.entry}
            if labels is not None and "error" not in entry:
                entry = labels.apply(entry)
            if results is not None and "error" not in entry:
                entry = results.add(path, entry, result.overlay)
            yield entry


def _error(error: Exception) -> dict[str, Any]:
    """Returns the entry of an image that failed.

    Raises:
      ConnectionError: if the server cannot be reached.
    """
    if isinstance(error, ConnectionError):
        raise error
    return {"error": str(error) or type(error).__name__}


def _describe(encoded: bytes, detections: Detections) -> _Result:
    del encoded
    if detections.status:
        return _Result({"error": f"The model cannot read it: {detections.status}."})
    return _Result(detections.as_dict())


def _draw(encoded: bytes, detections: Detections, *, extent: Sequence[float] | None) -> _Result:
    result = _describe(encoded, detections)
    if detections.status:
        return result
    try:
        decoded = detections.decoded or overlay.read(encoded)
        drawing = overlay.encode(overlay.annotate(decoded.image, detections, extent))
    except (OSError, MemoryError) as error:
        return _Result({"error": f"No overlay: {str(error) or type(error).__name__}"})
    width, height = decoded.size
    return _Result({"width": width, "height": height, **_add_pixels(result.entry, decoded.size)}, drawing)


def _add_pixels(entry: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    """Returns an entry with `box_pixels` after each `box`; `size` is width and height of the original image."""
    if entry["box"] is None:
        return entry
    sides = (size[1], size[0]) * 2
    pixels = [round(edge * side, 1) for edge, side in zip(entry["box"], sides)]
    entry = {"box": entry["box"], "box_pixels": pixels, **entry}
    if "others" in entry:
        entry["others"] = [_add_pixels(other, size) for other in entry["others"]]
    return entry
