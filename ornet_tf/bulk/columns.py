"""The columns of the output: one row per image, in the order of the input."""
from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow

from ornet_tf.bulk import statuses
from ornet_tf.inference.detections import Detections

# The Detections of an image as columns; D is the number of its objects.
SCHEMA = pyarrow.schema([
    ("path", pyarrow.string()),  # of the image file, or of the shard that holds the image
    ("key", pyarrow.string()),  # the path again, or what names the image within the shard
    ("status", pyarrow.string()),  # see `statuses`
    ("reason", pyarrow.string()),  # why it was refused, in a few words; "" if the status is ok
    ("boxes", pyarrow.list_(pyarrow.list_(pyarrow.float32(), 4))),  # [D, 4]: ymin, xmin, ymax, xmax, in fractions
    ("box_scores", pyarrow.list_(pyarrow.float32())),  # [D]; null if the export is from before box scores
    ("scores", pyarrow.list_(pyarrow.float32())),  # [D]
    ("classes", pyarrow.list_(pyarrow.int64())),  # [D]
    ("class_names", pyarrow.list_(pyarrow.string())),  # [D]
    ("model_version", pyarrow.string()),  # see `export_version`
])

_NO_SCORES = np.zeros([0], np.float32)
_NOTHING = Detections(
    np.zeros([0, 4], np.float32), _NO_SCORES, np.zeros([0], np.int64), class_names=(), box_scores=_NO_SCORES
)


class Result(NamedTuple):
    """What one row becomes.

    Attributes:
      path: of the image file or the shard.
      key: names the image.
      found: the detections; None if the image did not reach the export.
      status: see `statuses`.
      reason: "" if the status is ok.
    """

    path: str
    key: str
    found: Detections | None
    status: str = statuses.OK
    reason: str = ""


def table(results: Sequence[Result], model_version: str) -> pyarrow.Table:
    """Returns the rows as a table of `SCHEMA`."""
    found = [result.found or _NOTHING for result in results]
    values = {
        "path": [result.path for result in results],
        "key": [result.key for result in results],
        "status": [result.status for result in results],
        "reason": [result.reason for result in results],
        "boxes": [one.boxes.tolist() for one in found],
        **{
            name: [None if getattr(one, name) is None else list(getattr(one, name)) for one in found]
            for name in ("box_scores", "scores", "classes", "class_names")
        },
        "model_version": [model_version] * len(results),
    }
    return pyarrow.table([pyarrow.array(values[field.name], field.type) for field in SCHEMA], schema=SCHEMA)
