"""Random erasing (a strategy of Fig. 7): a rectangle anywhere, whatever the map says."""
from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from ornet_tf import randomness
from ornet_tf.erasing import check, check_map, rectangle, scale_between


def erase(
    activation_map: tf.Tensor,
    keys: tf.Tensor,
    *,
    probability: float = 1.0,
    side: Sequence[float] = (0.4, 1.2),
) -> tf.Tensor:
    """Returns the maps with a rectangle around a random pixel set to 0; for training only.

    Every pixel is as likely to be the centre as any other. Everything random about an example is a function of its key
    alone. A kept pixel's gradient passes unchanged, that of an erased one is 0.

    Args:
      activation_map: floating point [B, h, w, 1] in 0..1.
      keys: int64 [B, 2], one for each example; see `randomness.key`.
      probability: of an example to be erased at all, in 0..1.
      side: (min, max) of the height and of the width of the rectangle, drawn independently and uniformly, in shares
        of the map's height and width, in 0..2. What reaches beyond the map is lost.

    Returns:
      The erased map, of the shape and dtype of `activation_map`.

    Raises:
      UserError: if an option is out of range.
      ValueError: if the map has another shape.
    """
    check("probability", probability)
    check("side", side, count=2, largest=2.0)
    activation_map = check_map(activation_map)
    draws = randomness.uniform(keys, [5], "erasing/random")[..., None, None, None]  # [B, 5, 1, 1, 1]
    for_row, for_column, for_height, for_width, for_erasing = tf.unstack(draws, axis=1)
    row, column = (_pixel(draw, tf.shape(activation_map)[axis]) for draw, axis in ((for_row, 1), (for_column, 2)))
    erased = rectangle(activation_map, row, column, scale_between(side, for_height), scale_between(side, for_width))
    erased &= for_erasing < probability
    return tf.where(erased, tf.zeros_like(activation_map), activation_map)


def _pixel(uniform: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Returns one of `count` pixels, int32; the minimum is for products that were rounded up."""
    return tf.minimum(tf.cast(uniform * tf.cast(count, tf.float32), tf.int32), count - 1)
