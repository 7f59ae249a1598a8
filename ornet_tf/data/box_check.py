"""Compares the boxes of a data set with the sizes of their images, before anything is measured by them."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ornet_tf.data.source import Source
from ornet_tf.errors import UserError

# Annotators round, and some count the edge of the last pixel: that much outside is as good as inside.
TOLERANCE = 1.0


def examine(source: Source, sizes: np.ndarray) -> dict[str, Any]:
    """Compares boxes with the sizes of their images.

    Args:
      source: a split with boxes.
      sizes: int [N, 2], height and width; zeros where they are not known, which tells nothing of the boxes.

    Returns:
      "boxes", their number; "without", the names of images that have none; "no_area" and "outside", each box of these
      kinds with its image's name and size, and by how many pixels it is outside.
    """
    counts = [len(boxes) for boxes in source.boxes]
    boxes = np.concatenate([np.zeros([0, 4], np.float32), *source.boxes]).astype(np.float64)
    owners = np.repeat(np.arange(len(source)), counts)
    limits = sizes[owners].astype(np.float64)
    over = np.concatenate([-boxes[:, :2], boxes[:, 2:] - limits], axis=1).max(axis=1)
    has_area = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)  # False for what is no number
    is_outside = has_area & (over > TOLERANCE) & (limits > 0).all(axis=1)

    def listed(rows):
        return [
            {"name": source.names[owners[i]], "box": boxes[i].tolist(), "size": sizes[owners[i]].tolist(),
             "pixels": float(max(over[i], 0.0))}
            for i in np.flatnonzero(rows)
        ]

    return {
        "boxes": len(boxes),
        "without": [name for name, count in zip(source.names, counts) if not count],
        "no_area": listed(~has_area),
        "outside": listed(is_outside),
    }


def check(source: Source, sizes: np.ndarray, split: str) -> None:
    """Refuses boxes that no evaluation can measure by: those without area, and those outside of their image.

    Args:
      source: the split; without boxes, there is nothing to check.
      sizes: int [N, 2], see `look_at`.
      split: its name.

    Raises:
      UserError: it says how many there are and where the first one lies.
    """
    found = {} if source.boxes is None else examine(source, sizes)
    wrong = [*found.get("outside", ()), *found.get("no_area", ())]
    if wrong:
        raise UserError(
            f"{len(wrong)} of {found['boxes']} boxes of the {split} split cannot be right: {len(found['outside'])} end "
            f"outside of their image, {len(found['no_area'])} have no area. "
            f"The first is that of {describe(wrong[0])}. Are "
            "they boxes of originals of another size? Mend or remove them; `python -m ornet_tf.datasets check "
            f"--config=... --split={split}` lists all."
        )


def describe(one: Mapping[str, Any]) -> str:
    """Returns what stands in reports for an entry of "outside" or "no_area"."""
    form = "{name}: ymin {:g}, xmin {:g}, ymax {:g}, xmax {:g} in {} x {} (height x width), {pixels:g} pixels outside"
    return form.format(*one["box"], *one["size"], **one)
