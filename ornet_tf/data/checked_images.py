"""Checks the images, boxes and masks of a split before they are used, and records the result for later runs."""
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
      fingerprint: of the files of all its images. While it stays the same, no image has to be read again.
      digests: int64 [N], of the pixels of each image of `source`; None if no image was decoded in this check.
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
    records: dict[str, dict[str, Any]] | None = None,
) -> Checked:
    """Reads and decodes all images of a split, unless an earlier check has found that they can be used.

    Args:
      source: the split.
      split: its name.
      broken_images: "stop" or "skip".
      metrics: the names of the metrics; some need masks.
      is_measured: whether the boxes of the split are the ground truth of an evaluation and so have to be correct.
      records: the results of earlier checks by the name of the split; the result of this check is stored in it.

    Raises:
      UserError: if images, boxes or masks can't be used.
    """
    records = {} if records is None else records
    fingerprint, record = image_cache.fingerprint(source), records.get(split, {})
    left_out, digests = set(record.get("left_out", [])), None
    if record.get("fingerprint") != fingerprint or (left_out and broken_images != "skip"):
        sizes, broken, digests = image_store.measure(source)
        checked = input_pipeline.keep_usable(source, broken, broken_images=broken_images)
        masks.check(checked, metrics)
        left_out = {*source.names} - {*checked.names}
        digests = digests[sizes[:, 0] > 0]
    elif not left_out:
        logging.info("The %d images of %s have not changed since they were last checked.", len(source), split)
        checked = source
    else:
        logging.warning("%d broken images of %s are left out, as in the last check.", len(left_out), split)
        checked = leave_out(source, left_out)
    boxes = _boxes_digest(source) if is_measured else None
    if is_measured and (digests is not None or record.get("boxes") != boxes):
        if digests is None:  # only the table of boxes has changed: the headers of the images give their sizes
            sizes = image_store.measure(source, headers_only=True).sizes
        box_check.check(source, sizes, split)
    records[split] = {"fingerprint": fingerprint, "left_out": sorted(left_out), "boxes": boxes}
    return Checked(checked, fingerprint, digests)


def leave_out(source: Source, names: Collection[str]) -> Source:
    """Returns the source without the images of these names."""
    names = set(names)
    return source.select([index for index, name in enumerate(source.names) if name not in names])


def _boxes_digest(source: Source) -> str:
    digest = hashlib.sha256()
    for name, boxes in zip(source.names, source.boxes or ()):
        digest.update(f"{name}{np.asarray(boxes, np.float32).tolist()}".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:20]
