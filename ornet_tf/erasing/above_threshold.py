"""Erasing above a threshold (a strategy of Fig. 7): all pixels of the map that are high enough."""
from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from ornet_tf.erasing import attentive


def erase(
    activation_map: tf.Tensor,
    keys: tf.Tensor,
    *,
    probability: float = 1.0,
    candidate_threshold: Sequence[float] = (0.0, 0.5),
) -> tf.Tensor:
    """Returns the maps with all pixels of at least peak - u (peak - minimum) set to 0; for training only.

    This is attentive erasing without its rectangle and with every candidate dropped, so that the whole active region is
    erased at once. The options have the same meaning. With the same keys, the same u is drawn and the same examples are
    erased.

    Args:
      activation_map: floating point [B, h, w, 1] in 0..1.
      keys: int64 [B, 2], one for each example; see `randomness.key`.
      probability: probability that an example is erased, in 0..1.
      candidate_threshold: (min, max) of u, drawn uniformly per example, in 0..1.

    Returns:
      The erased map, of the shape and dtype of `activation_map`.

    Raises:
      UserError: if an option is out of range.
      ValueError: if the map has another shape.
    """
    return attentive.erase(
        activation_map, keys, probability=probability, side=(2.0, 2.0), candidate_threshold=candidate_threshold,
        drop_probability=1.0,
    )
