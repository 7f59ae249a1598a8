"""Random erasing (Fig. 7a): a rectangle whose position does not depend on the map."""
from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from ornet_tf import randomness
from ornet_tf.erasing import check_map, check_number, check_range, rectangle, scale_between


def erase(
    activation_map: tf.Tensor,
    keys: tf.Tensor,
    *,
    probability: float = 1.0,
    side: Sequence[float] = (0.4, 1.2),
) -> tf.Tensor:
    """Returns the maps with a rectangle around a random pixel set to 0; for training only.

    All pixels are equally likely to be the centre. All random choices for an example are a function of its key. Kept
    pixels pass their gradient unchanged, erased ones get 0.

    Args:
      activation_map: floating point [B, h, w, 1] in 0..1.
      keys: int64 [B, 2], one for each example; see `randomness.key`.
      probability: probability that an example is erased, in 0..1.
      side: (min, max) of the height and of the width of the rectangle, drawn independently and uniformly, as shares
        of the map's height and width, in 0..2. Parts beyond the map are cut off.

    Returns:
      The erased map, of the shape and dtype of `activation_map`.

    Raises:
      UserError: if an option is out of range.
      ValueError: if the map has another shape.
    """
    check_number("probability", probability)
    check_range("side", side, largest=2.0)
    activation_map = check_map(activation_map)
    draws = randomness.uniform(keys, [5], "erasing/random")[..., None, None, None]  # [B, 5, 1, 1, 1]
    for_row, for_column, for_height, for_width, for_erasing = tf.unstack(draws, axis=1)
    row, column = (_pixel_index(draw, tf.shape(activation_map)[axis]) for draw, axis in ((for_row, 1), (for_column, 2)))
    erased = rectangle(activation_map, row, column, scale_between(side, for_height), scale_between(side, for_width))
    erased &= for_erasing < probability
    return tf.where(erased, tf.zeros_like(activation_map), activation_map)


def _pixel_index(uniform: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Scales uniform numbers in 0..1 to indices in 0..count-1, int32; rounding could give `count` itself."""
    return tf.minimum(tf.cast(uniform * tf.cast(count, tf.float32), tf.int32), count - 1)
