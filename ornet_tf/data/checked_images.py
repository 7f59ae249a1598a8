"""Looks at the images of a split, its boxes and its masks before they are used, and remembers that they are right."""
from __future__ import annotations

import hashlib
import typing
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from absl import logging

from ornet_tf.data import box_check, image_cache, image_store, input_pipeline, masks
from ornet_tf.data.source import Source


class Checked(typing.NamedTuple):
    """A split whose images can be used.

    Attributes:
      source: the split, without the images that are left out.
      fingerprint: of the files of all its images; while it is the same, none of them has to be read again.
      digests: int64 [N], of the pixels of each image of `source`; None where no image was read this time.
    """

    source: Source
    fingerprint: str
    digests: np.ndarray | None


def check(
    source: Source,
    split: str,
    *,
    broken_images: str,
    metrics: Sequence[str] = (),
    is_measured: bool = True,
    known: dict[str, dict[str, Any]] | None = None,
) -> Checked:
    """Reads and decodes all images of a split, unless it is known that they can be used.

    Args:
      source: the split.
      split: its name.
      broken_images: "stop" or "skip".
      metrics: the metric conventions, which may need masks.
      is_measured: whether an evaluation measures by the split's boxes, so that these must be right.
      known: name of a split -> what this function stored when it looked at it before; it is changed in place.

    Raises:
      UserError: if images, boxes or masks can't be used.
    """
    known = {} if known is None else known
    mark, before = image_cache.fingerprint(source), known.get(split, {})
    left_out, digests = set(before.get("left_out", [])), None
    if before.get("fingerprint") != mark or (left_out and broken_images != "skip"):
        measured = image_store.measure(source)
        checked = input_pipeline.keep_usable(source, broken_images=broken_images, broken=measured.broken)
        masks.check(checked, metrics)
        left_out = {*source.names} - {*checked.names}
        digests = measured.digests[measured.sizes[:, 0] > 0]
        sizes = measured.sizes
    elif not left_out:
        logging.info("The %d images of %s are those that were found whole before.", len(source), split)
        checked = source
    else:
        logging.warning("%d broken images of %s are left out, as before.", len(left_out), split)
        checked = leave_out(source, left_out)
    boxes = _digest_of_boxes(source) if is_measured else None
    if is_measured and (digests is not None or before.get("boxes") != boxes):
        if digests is None:  # the table of boxes has changed, the images have not: their headers tell enough
            sizes = image_store.measure(source, headers_only=True).sizes
        box_check.check(source, sizes, split)
    known[split] = {"fingerprint": mark, "left_out": sorted(left_out), "boxes": boxes}
    return Checked(checked, mark, digests)


def leave_out(source: Source, left_out: Collection[str]) -> Source:
    """Returns the source without the images of some names."""
    left_out = set(left_out)
    return source.select([index for index, name in enumerate(source.names) if name not in left_out])


def _digest_of_boxes(source: Source) -> str:
    digest = hashlib.sha256()
    for name, boxes in zip(source.names, source.boxes or ()):
        digest.update(f"{name}{np.asarray(boxes, np.float32).tolist()}".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:20]
