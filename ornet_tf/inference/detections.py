"""The result for one image: one type for in-process, REST and gRPC predictions. Needs NumPy and Pillow only."""
from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from ornet_tf.data.pillow_errors import UNREADABLE
from ornet_tf.errors import UserError

CLASS_OUTPUTS = ("detection_scores", "detection_classes", "detection_class_names")


class Decoded(NamedTuple):
    """A decoded image, upright, perhaps scaled down.

    Attributes:
      image: mode RGB.
      size: width and height of the original image, upright, in pixels.
    """

    image: Image.Image
    size: tuple[int, int]


@dataclasses.dataclass(frozen=True, eq=False)
class Detections:
    """The D objects found in one image, D >= 0, in the model's order.

    Attributes:
      boxes: float32 [D, 4], [ymin, xmin, ymax, xmax] in fractions of the upright original image.
      scores: float32 [D], the probability of the class; None if the signature returns boxes only.
      classes: int64 [D], counted from 0; None if the signature returns boxes only.
      class_names: D names; None if the signature returns boxes only.
      status: "" if the image was read, else the reason, such as "truncated or damaged JPEG"; then D is 0.
      activation_map: uint8 [h, w] from the signature `activation_map`, float32 [h, w] in 0..1 from
        `activation_map_float`, else None.
      decoded: the image as the model decoded it, if the model hands it on, so that nobody decodes it again.
      box_scores: float32 [D], how sure each box is, 0..1, see `ornet_tf.maps.box_scores`; None for an old export.
    """

    boxes: np.ndarray
    scores: np.ndarray | None = None
    classes: np.ndarray | None = None
    class_names: tuple[str, ...] | None = None
    status: str = ""
    activation_map: np.ndarray | None = None
    decoded: Decoded | None = None
    box_scores: np.ndarray | None = None

    def as_dict(self) -> dict[str, Any]:
        """Returns a JSON-compatible dictionary of the first object.

        Its keys are `box`, `box_score`, `score`, `class` and `class_name`. If there is no object, `box` is None and the
        other keys are missing. Further objects are in the list `others`. Map and image are left out.
        """
        objects = [{"box": list(map(_shortest_float, box))} for box in self.boxes]
        if self.box_scores is not None:
            for entry, score in zip(objects, self.box_scores):
                entry["box_score"] = _shortest_float(score)
        if self.scores is not None:
            scores = map(_shortest_float, self.scores)
            for entry, *values in zip(objects, scores, self.classes.tolist(), self.class_names):
                entry.update(zip(("score", "class", "class_name"), values))
        first = objects[0] if objects else {"box": None}
        return {**first, "others": objects[1:]} if objects[1:] else first


@contextlib.contextmanager
def explain_wrong_outputs(source: str) -> Iterator[None]:
    """Turns a ValueError of `from_outputs` into a UserError that names the model.

    Args:
      source: the model, as the message names it: a folder or an address.
    """
    try:
        yield
    except ValueError as error:
        raise UserError(
            f"Expected detections from {source}, but {error}; is it the model that ornet_tf.export wrote?"
        ) from None


def from_outputs(outputs: Mapping[str, Any], count: int) -> list[Detections]:
    """Turns the outputs of a signature into one result per image.

    Args:
      outputs: arrays or nested lists by name, as serving/README.md lists them. Old exports lack
        `detection_box_scores`, and even older ones `num_detections` and `status`: every row is then an object and every
        image counts as read.
      count: the number N of images that were sent.

    Raises:
      ValueError: if an output is missing or has the wrong type or shape. The message is a clause that
        `explain_wrong_outputs` completes to a sentence.
    """
    boxes = _tensor(outputs, "detection_boxes", np.float32, (count, None, 4))
    per_box = (count, boxes.shape[1])
    sizes = [per_box[1]] * count
    if "num_detections" in outputs:
        sizes = np.clip(_tensor(outputs, "num_detections", np.int64, (count,)), 0, per_box[1]).tolist()
    status = [""] * count
    if "status" in outputs:
        status = [_text(reason) for reason in _tensor(outputs, "status", object, (count,))]
    box_scores = None
    if "detection_box_scores" in outputs:
        box_scores = _tensor(outputs, "detection_box_scores", np.float32, per_box)
    has_classes = any(name in outputs for name in CLASS_OUTPUTS)
    columns = (
        [_tensor(outputs, name, kind, per_box) for name, kind in zip(CLASS_OUTPUTS, (np.float32, np.int64, object))]
        if has_classes
        else []
    )
    maps = _maps(outputs, count)
    results = []
    for i, size in enumerate(sizes):
        classification = [column[i, :size] for column in columns]
        if classification:
            classification[-1] = tuple(map(_text, classification[-1]))
        scores = None if box_scores is None else box_scores[i, :size]
        extras = {"box_scores": scores, "status": status[i], "activation_map": maps[i]}
        results.append(Detections(boxes[i, :size], *classification, **extras))
    return results


def _tensor(outputs: Mapping[str, Any], name: str, kind: Any, shape: tuple[int | None, ...]) -> np.ndarray:
    """Returns an output as an array of the dtype `kind`; None in `shape` allows any size."""
    if name not in outputs:
        raise ValueError(f"{name} is missing")
    try:
        with np.errstate(invalid="raise", over="raise"):
            value = np.asarray(outputs[name], kind)
    except (TypeError, ValueError):  # ragged lists, text among numbers
        raise ValueError(f"{name} is not a tensor") from None
    except (OverflowError, FloatingPointError):  # integers beyond 64 bits, an infinite number of detections
        raise ValueError(f"{name} holds a number that {np.dtype(kind).name} cannot represent") from None
    if value.ndim != len(shape) or any(size not in (None, got) for size, got in zip(shape, value.shape)):
        expected = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"{name} has the shape {list(value.shape)} instead of [{expected}]")
    return value


def _shortest_float(value: np.float32) -> float:
    """Returns the float with the fewest digits that rounds to this float32: 0.1, not 0.10000000149."""
    return float(str(value))


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _maps(outputs: Mapping[str, Any], count: int) -> list[np.ndarray | None]:
    if "activation_map_bytes" in outputs:
        return [_decode_png(png) for png in _tensor(outputs, "activation_map_bytes", object, (count,))]
    if "activation_map" in outputs:
        return list(_tensor(outputs, "activation_map", np.float32, (count, None, None)))
    return [None] * count


def _decode_png(png: Any) -> np.ndarray | None:
    if not png:  # the image could not be read
        return None
    try:
        with Image.open(io.BytesIO(png)) as image:
            return np.asarray(image.convert("L"))
    except Image.DecompressionBombError:
        raise ValueError("activation_map_bytes holds an image with too many pixels") from None
    except UNREADABLE:
        raise ValueError("activation_map_bytes holds no PNG") from None
