"""Erasing a restricted rectangle (a strategy of Fig. 7): the whole rectangle around the map's peak."""
from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from ornet_tf.erasing import attentive


def erase(
    activation_map: tf.Tensor,
    keys: tf.Tensor,
    *,
    probability: float = 1.0,
    side: Sequence[float] = (0.4, 1.2),
    candidate_threshold: Sequence[float] = (1.0, 1.0),
) -> tf.Tensor:
    """Returns the maps with a random rectangle around their peak set to 0; for training only.

    This is attentive erasing with every candidate dropped; by default all pixels of the rectangle are candidates. The
    options have the same meaning. With the same keys, the same rectangles and thresholds are drawn and the same
    examples are erased.

    Args:
      activation_map: floating point [B, h, w, 1] in 0..1.
      keys: int64 [B, 2], one for each example; see `randomness.key`.
      probability: probability that an example is erased, in 0..1.
      side: (min, max) of the height and of the width of the rectangle, as shares of the map's, in 0..2.
      candidate_threshold: (min, max) of u, in 0..1: pixels of the rectangle below peak - u (peak - minimum) are kept.
        With 1 all pixels of the rectangle are erased.

    Returns:
      The erased map, of the shape and dtype of `activation_map`.

    Raises:
      UserError: if an option is out of range.
      ValueError: if the map has another shape.
    """
    return attentive.erase(
        activation_map, keys, probability=probability, side=side, candidate_threshold=candidate_threshold,
        drop_probability=1.0,
    )
