"""Erasing within a restricted rectangle (Fig. 7c): all pixels of it that are above a threshold."""
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
    candidate_threshold: float = 0.5,
    candidate_depth: Sequence[float] | None = None,
) -> tf.Tensor:
    """Returns the maps with all candidates in a random rectangle around their peak set to 0; for training only.

    This is attentive erasing with every candidate dropped. The options have the same meaning. With the same keys, the
    same rectangles are drawn and the same examples are erased.

    The caption of Fig. 7(c) can be read as if the whole rectangle was erased. Section 3.2.2 refers to the figure for a
    rectangle in which only pixels above a threshold are candidates. This follows the section; a `candidate_threshold`
    of 0 erases the whole rectangle.

    Args:
      activation_map: floating point [B, h, w, 1] in 0..1.
      keys: int64 [B, 2], one for each example; see `randomness.key`.
      probability: probability that an example is erased, in 0..1.
      side: (min, max) of the height and of the width of the rectangle, as shares of the map's, in 0..2.
      candidate_threshold: pixels with a higher value are erased, in 0..1.
      candidate_depth: (min, max) of u, in 0..1, for a threshold relative to the peak; see `attentive.erase`.

    Returns:
      The erased map, of the shape and dtype of `activation_map`.

    Raises:
      UserError: if an option is out of range.
      ValueError: if the map has another shape.
    """
    return attentive.erase(
        activation_map, keys, probability=probability, side=side, candidate_threshold=candidate_threshold,
        candidate_depth=candidate_depth, drop_probability=1.0,
    )
