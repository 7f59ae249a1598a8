"""Compares the boxes of a data set with the sizes of their images, before they serve as ground truth."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ornet_tf.data.source import Source
from ornet_tf.errors import UserError

# Pixels that a box may reach outside its image: annotators round, and some count the edge of the last pixel.
TOLERANCE = 1.0


def examine(source: Source, sizes: np.ndarray) -> dict[str, Any]:
    """Compares boxes with the sizes of their images.

    Args:
      source: a split with boxes.
      sizes: int [N, 2], height and width; zeros where the size is unknown: such boxes are not compared.

    Returns:
      "boxes", the number of boxes; "without", the names of images without a box; "no_area" and "outside", the boxes
      without area and those outside their image, each with the "name" and "size" of its image and the number of
      "pixels" by which it is outside.
    """
    counts = [len(boxes) for boxes in source.boxes]
    boxes = np.concatenate([np.zeros([0, 4], np.float32), *source.boxes]).astype(np.float64)
    owners = np.repeat(np.arange(len(source)), counts)
    limits = sizes[owners].astype(np.float64)
    excess = np.concatenate([-boxes[:, :2], boxes[:, 2:] - limits], axis=1).max(axis=1)
    has_area = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)  # False for NaN
    is_outside = has_area & (excess > TOLERANCE) & (limits > 0).all(axis=1)

    def list_boxes(is_listed):
        return [
            {"name": source.names[owners[i]], "box": boxes[i].tolist(), "size": sizes[owners[i]].tolist(),
             "pixels": float(max(excess[i], 0.0))}
            for i in np.flatnonzero(is_listed)
        ]

    return {
        "boxes": len(boxes),
        "without": [name for name, count in zip(source.names, counts) if not count],
        "no_area": list_boxes(~has_area),
        "outside": list_boxes(is_outside),
    }


def check(source: Source, sizes: np.ndarray, split: str) -> None:
    """Refuses boxes that can't be ground truth: boxes without area and boxes outside their image.

    Args:
      source: the split, with or without boxes.
      sizes: int [N, 2], see `examine`.
      split: the name of the split.

    Raises:
      UserError: if there are such boxes; the message gives their number and describes the first one.
    """
    findings = {} if source.boxes is None else examine(source, sizes)
    wrong = [*findings.get("outside", ()), *findings.get("no_area", ())]
    if wrong:
        raise UserError(
            f"{len(wrong)} of {findings['boxes']} boxes of the {split} split are wrong: {len(findings['outside'])} end "
            f"outside their image, {len(findings['no_area'])} have no area. The first is {describe(wrong[0])}. Were "
            "they drawn on images of another size? Correct or remove them; `python -m ornet_tf.datasets check "
            f"--config=... --split={split}` lists all."
        )


def describe(entry: Mapping[str, Any]) -> str:
    """Returns the line of a report for an entry of "outside" or "no_area"."""
    form = "{name}: ymin {:g}, xmin {:g}, ymax {:g}, xmax {:g} in {} x {} (height x width), {pixels:g} pixels outside"
    return form.format(*entry["box"], *entry["size"], **entry)
