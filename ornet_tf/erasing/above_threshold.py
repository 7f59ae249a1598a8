"""Erasing above a threshold (Fig. 7b): all pixels of the map that are high enough."""
from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from ornet_tf.erasing import attentive


def erase(
    activation_map: tf.Tensor,
    keys: tf.Tensor,
    *,
    probability: float = 1.0,
    candidate_threshold: float = 0.5,
    candidate_depth: Sequence[float] | None = None,
) -> tf.Tensor:
    """Returns the maps with all pixels above a threshold set to 0; for training only.

    This is attentive erasing without its rectangle and with every candidate dropped, so that the whole active region is
    erased at once. The options have the same meaning. With the same keys, the same examples are erased.

    Args:
      activation_map: floating point [B, h, w, 1] in 0..1.
      keys: int64 [B, 2], one for each example; see `randomness.key`.
      probability: probability that an example is erased, in 0..1.
      candidate_threshold: pixels with a higher value are erased, in 0..1.
      candidate_depth: (min, max) of u, in 0..1, for a threshold relative to the peak; see `attentive.erase`.

    Returns:
      The erased map, of the shape and dtype of `activation_map`.

    Raises:
      UserError: if an option is out of range.
      ValueError: if the map has another shape.
    """
    return attentive.erase(
        activation_map, keys, probability=probability, side=(2.0, 2.0), candidate_threshold=candidate_threshold,
        candidate_depth=candidate_depth, drop_probability=1.0,
    )
