"""Decodes and checks masks, which mark the object pixels of images."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from ornet_tf import registry
from ornet_tf.data import decoding, image_store
from ornet_tf.data.source import Source
from ornet_tf.errors import UserError

_HALF = 127  # grey level; brighter pixels are object


def decode(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes a mask.

    Args:
      encoded: scalar string, the bytes of a JPEG or PNG file.

    Returns:
      bool [H, W], True for the object.

    Raises:
      tf.errors.InvalidArgumentError: see `decoding.decode`.
    """
    return decoding.decode(encoded)[..., 0] > _HALF


def examine(source: Source, sizes: np.ndarray, *, headers_only: bool = False) -> dict[str, Any]:
    """Decodes every mask of a split and compares its size with that of its image.

    Args:
      source: a split with masks.
      sizes: int [N, 2], height and width of the images; zeros where the size is unknown: such masks are not compared.
      headers_only: whether to read only the headers; damage behind them and empty masks are then not found.

    Returns:
      "masks", the number of images with a mask; "without", the names of the images without one; "broken", the "name"
      and "reason" of masks that can't be decoded; "wrong_size", the "name", "size" and "image_size" of masks of another
      size than their image; "empty", the names of the images whose mask has no object.
    """

    def size_and_area(encoded):
        if headers_only:
            return tf.concat([tf.cast(decoding.read_size(encoded), tf.int32), [1]], axis=0)
        mask = decode(encoded)
        return tf.concat([tf.shape(mask), [tf.math.count_nonzero(mask, dtype=tf.int32)]], axis=0)

    values, failed = image_store.examine(source, size_and_area, count=3, masks=True)
    is_read, mask_sizes = values[:, 0] > 0, values[:, :2]
    has_other_size = is_read & (sizes[:, 0] > 0) & (mask_sizes != sizes).any(axis=1)
    without = [source.names[i] for i, reason in failed if reason == decoding.NOT_FOUND]
    return {
        "masks": len(source) - len(without),
        "without": without,
        "broken": [{"name": source.names[i], "reason": reason} for i, reason in failed if reason != decoding.NOT_FOUND],
        "wrong_size": [
            {"name": source.names[i], "size": mask_sizes[i].tolist(), "image_size": sizes[i].tolist()}
            for i in np.flatnonzero(has_other_size)
        ],
        "empty": [source.names[i] for i in np.flatnonzero(is_read & (values[:, 2] == 0))],
    }


def metrics_that_need_masks(metrics: Sequence[str]) -> list[str]:
    """Returns the names of those metrics that need masks."""
    return [name for name in metrics if registry.find("metrics", name).needs_masks]


def check(source: Source, metrics: Sequence[str]) -> None:
    """Checks the masks of a split if it has masks and a metric needs them.

    Raises:
      UserError: if masks are missing, can't be read or have another size than their images; the message lists them.
    """
    needing = metrics_that_need_masks(metrics)
    if not needing or source.masks is None:
        return
    findings = examine(source, image_store.measure(source, headers_only=True).sizes)
    file_of = {name: mask if isinstance(mask, str) else name for name, mask in zip(source.names, source.masks)}
    rows = [(name, decoding.NOT_FOUND) for name in findings["without"]]
    rows += [(entry["name"], entry["reason"]) for entry in findings["broken"]]
    rows += [(entry["name"], describe_sizes(entry)) for entry in findings["wrong_size"]]
    if rows:
        lines = "".join(f"\n  {file_of[name]}: {reason}" for name, reason in rows)
        raise UserError(
            f"{len(rows)} of {len(source)} masks cannot be used; {needing[0]} needs a mask for each image, a JPEG or "
            f"PNG of the image's size:{lines}\n"
            f"Repair or add them, or leave {needing[0]} out of config.evaluation.metrics."
        )
    if findings["empty"]:
        logging.warning("Masks without object, whose images are all background: %s.", ", ".join(findings["empty"]))


def describe_sizes(entry: dict[str, Any]) -> str:
    """Returns the line of a report for an entry of "wrong_size"."""
    return "{} x {} (height x width), its image {} x {}".format(*entry["size"], *entry["image_size"])
