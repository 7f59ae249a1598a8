"""What a model finds in an image: one type, whichever way the model was asked. NumPy and Pillow only."""
from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from PIL import Image

from ornet_tf.data.pillow_errors import UNREADABLE
from ornet_tf.errors import UserError

CLASS_OUTPUTS = ("detection_scores", "detection_classes", "detection_class_names")


@dataclasses.dataclass(frozen=True, eq=False)
class Detections:
    """The D objects that were found in one image, D >= 0, in the model's order.

    Attributes:
      boxes: float32 [D, 4], [ymin, xmin, ymax, xmax] in fractions of the upright original image.
      scores: float32 [D], the probability of the class; None where the signature gives boxes only.
      classes: int64 [D], counted from 0; None where the signature gives boxes only.
      class_names: D names; None where the signature gives boxes only.
      status: why the image could not be read, such as "truncated or damaged JPEG", or "" if it could. Then D = 0.
      activation_map: uint8 [h, w] of the signature `activation_map`, float32 [h, w] in 0..1 of
        `activation_map_float`, else None.
    """

    boxes: np.ndarray
    scores: np.ndarray | None = None
    classes: np.ndarray | None = None
    class_names: tuple[str, ...] | None = None
    status: str = ""
    activation_map: np.ndarray | None = None

    def as_dict(self) -> dict[str, Any]:
        """Returns what JSON can hold: the first object's `box`, `score`, `class` and `class_name`.

        `box` is None without an object; further objects stand in the list `others`; the map is left out.
        """
        found = [{"box": list(map(_shortest, box))} for box in self.boxes]
        if self.scores is not None:
            for entry, *values in zip(found, map(_shortest, self.scores), self.classes.tolist(), self.class_names):
                entry.update(zip(("score", "class", "class_name"), values))
        first = found[0] if found else {"box": None}
        return {**first, "others": found[1:]} if found[1:] else first


@contextlib.contextmanager
def explain_wrong_outputs(source: str) -> Iterator[None]:
    """Makes a ValueError inside, the middle of a sentence, a whole one about outputs of `source`."""
    try:
        yield
    except ValueError as error:
        raise UserError(
            f"Expected detections from {source}, but {error}; is it the model that ornet_tf.export wrote?"
        ) from None


def from_outputs(outputs: Mapping[str, Any], count: int) -> list[Detections]:
    """Turns the outputs of a signature into one result per image.

    Args:
      outputs: arrays or nested lists by name, as serving/README.md lists them. Exports of before `num_detections` and
        `status` have neither: each of their rows is an object, each of their images was read.
      count: the number N of images that were sent.

    Raises:
      ValueError: if an output is missing or has another shape; the message is the middle of a sentence: see
        `expected_from`.
    """
    boxes = _tensor(outputs, "detection_boxes", np.float32, (count, None, 4))
    per_box = (count, boxes.shape[1])
    sizes = [per_box[1]] * count
    if "num_detections" in outputs:
        sizes = np.clip(_tensor(outputs, "num_detections", np.int64, (count,)), 0, per_box[1]).tolist()
    status = [""] * count
    if "status" in outputs:
        status = [_text(why) for why in _tensor(outputs, "status", object, (count,))]
    has_classes = any(name in outputs for name in CLASS_OUTPUTS)
    columns = (
        [_tensor(outputs, name, kind, per_box) for name, kind in zip(CLASS_OUTPUTS, (np.float32, np.int64, object))]
        if has_classes
        else []
    )
    maps = _maps(outputs, count)
    results = []
    for i, size in enumerate(sizes):
        found = [column[i, :size] for column in columns]
        if found:
            found[-1] = tuple(map(_text, found[-1]))
        results.append(Detections(boxes[i, :size], *found, status=status[i], activation_map=maps[i]))
    return results


def _tensor(outputs: Mapping[str, Any], name: str, kind: Any, shape: tuple[int | None, ...]) -> np.ndarray:
    if name not in outputs:
        raise ValueError(f"{name} is missing")
    try:
        with np.errstate(invalid="raise", over="raise"):
            value = np.asarray(outputs[name], kind)
    except (TypeError, ValueError):  # ragged lists, words among numbers
        raise ValueError(f"{name} is no tensor") from None
    except (OverflowError, FloatingPointError):  # integers beyond 64 bits, an infinite number of detections
        raise ValueError(f"{name} holds a number that is none of {np.dtype(kind).name}") from None
    if value.ndim != len(shape) or any(size not in (None, got) for size, got in zip(shape, value.shape)):
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"{name} has the shape {list(value.shape)} instead of [{wanted}]")
    return value


def _shortest(value: np.float32) -> float:
    """Returns the float that prints with the fewest digits that are still this one in float32: 0.1, no 0.1000000015."""
    return float(str(value))


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _maps(outputs: Mapping[str, Any], count: int) -> list[np.ndarray | None]:
    if "activation_map_bytes" in outputs:
        return [_decode(png) for png in _tensor(outputs, "activation_map_bytes", object, (count,))]
    if "activation_map" in outputs:
        return list(_tensor(outputs, "activation_map", np.float32, (count, None, None)))
    return [None] * count


def _decode(png: Any) -> np.ndarray | None:
    if not png:  # of an image that could not be read
        return None
    try:
        with Image.open(io.BytesIO(png)) as image:
            return np.asarray(image.convert("L"))
    except Image.DecompressionBombError:
        raise ValueError("activation_map_bytes holds an image of far too many pixels") from None
    except UNREADABLE:
        raise ValueError("activation_map_bytes holds no PNG") from None
