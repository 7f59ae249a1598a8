"""Masks: which pixels of an image are object, and what is wrong with the files that say so."""
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

_HALF = 127  # of the grey levels: what is brighter is object


def decode(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes a mask.

    Args:
      encoded: scalar string, the bytes of a JPEG or PNG file.

    Returns:
      bool [H, W], True for the object.

    Raises:
      tf.errors.InvalidArgumentError: see `images.decode`.
    """
    return decoding.decode(encoded)[..., 0] > _HALF


def examine(source: Source, sizes: np.ndarray, *, headers_only: bool = False) -> dict[str, Any]:
    """Decodes every mask of a split and compares it with its image.

    Args:
      source: a split with masks.
      sizes: int [N, 2], height and width of the images; zeros where they are not known, which tells nothing of masks.
      headers_only: whether to read the headers alone: what is damaged behind them, or empty, is not found.

    Returns:
      "masks", the number of images that have one; "without", the names of those that have none; of those whose mask
      can't be used the names: "broken" with the reason, "wrong_size" with both sizes, and "empty", without object.
    """

    def facts(encoded):
        if headers_only:
            return tf.concat([tf.cast(decoding.read_size(encoded), tf.int32), [1]], axis=0)
        mask = decode(encoded)
        return tf.concat([tf.shape(mask), [tf.math.count_nonzero(mask, dtype=tf.int32)]], axis=0)

    found, failed = image_store.examine(source, facts, count=3, masks=True)
    is_read, of_masks = found[:, 0] > 0, found[:, :2]
    differs = is_read & (sizes[:, 0] > 0) & (of_masks != sizes).any(axis=1)
    without = [source.names[i] for i, why in failed if why == decoding.NOT_FOUND]
    return {
        "masks": len(source) - len(without),
        "without": without,
        "broken": [{"name": source.names[i], "reason": why} for i, why in failed if why != decoding.NOT_FOUND],
        "wrong_size": [
            {"name": source.names[i], "size": of_masks[i].tolist(), "image_size": sizes[i].tolist()}
            for i in np.flatnonzero(differs)
        ],
        "empty": [source.names[i] for i in np.flatnonzero(is_read & (found[:, 2] == 0))],
    }


def metrics_with_masks(metrics: Sequence[str]) -> list[str]:
    """Returns those of the named metric conventions that need masks."""
    return [name for name in metrics if registry.find("metrics", name).needs_masks]


def check(source: Source, metrics: Sequence[str]) -> None:
    """Checks the masks of a split, if there are any, before metric conventions that need them are computed.

    Raises:
      UserError: if masks are missing, can't be read or are of another size than their images; it lists all of them.
    """
    names = metrics_with_masks(metrics)
    if not names or source.masks is None:
        return
    found = examine(source, image_store.measure(source, headers_only=True).sizes)
    file_of = {name: mask if isinstance(mask, str) else name for name, mask in zip(source.names, source.masks)}
    rows = [(name, decoding.NOT_FOUND) for name in found["without"]]
    rows += [(one["name"], one["reason"]) for one in found["broken"]]
    rows += [(one["name"], describe_sizes(one)) for one in found["wrong_size"]]
    if rows:
        lines = "".join(f"\n  {file_of[name]}: {why}" for name, why in rows)
        raise UserError(
            f"{len(rows)} of {len(source)} masks cannot be used; {names[0]} needs a mask for each image, a JPEG or "
            f"PNG of the image's size:{lines}\n"
            f"Repair or add them, or leave {names[0]} out of config.evaluation.metrics."
        )
    if found["empty"]:
        logging.warning("Masks without object, whose images are all background: %s.", ", ".join(found["empty"]))


def describe_sizes(one: dict[str, Any]) -> str:
    """Returns what stands in reports for an entry of "wrong_size"."""
    return "{} x {} (height x width), its image {} x {}".format(*one["size"], *one["image_size"])
