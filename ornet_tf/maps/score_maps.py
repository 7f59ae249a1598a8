"""Score maps: activation maps enlarged to the image and rescaled to 0..1, as in wsolevaluation.

A map is enlarged by OpenCV's INTER_CUBIC (Keys' kernel with a = -0.75; the edge pixels are repeated outside) and then
rescaled by its own minimum and maximum. Everything is float64, except the kernel's values, which OpenCV computes in
float32.
"""
from __future__ import annotations

import functools

import numpy as np
import tensorflow as tf


def score_maps(activation_map: tf.Tensor, size: int) -> tf.Tensor:
    """Enlarges and rescales maps.

    Args:
      activation_map: floating point [B, h, w, 1] or [B, h, w]; h and w must be static.
      size: S, the side of the result in pixels.

    Returns:
      float64 [B, S, S] in 0..1. Constant maps, and maps with NaN or infinity, become 0.

    Raises:
      ValueError: if the shape is not one of the above.
    """
    maps = tf.cast(activation_map, tf.float64)
    if maps.shape.rank == 4 and maps.shape[-1] == 1:
        maps = tf.squeeze(maps, -1)
    if maps.shape.rank != 3 or None in maps.shape[1:].as_list():
        raise ValueError(f"activation_map must have the shape [B, h, w, 1] or [B, h, w], got {maps.shape}.")
    # Constant maps become 0 before they are enlarged: otherwise their rounding errors would be rescaled to 0..1.
    flat = tf.reduce_all(tf.equal(maps, maps[:, :1, :1]), axis=[1, 2], keepdims=True)
    is_valid = tf.reduce_all(tf.math.is_finite(maps), axis=[1, 2], keepdims=True) & ~flat
    maps = tf.where(is_valid, maps, tf.constant(0.0, tf.float64))
    for axis, side in enumerate(maps.shape[1:].as_list()):
        if side != size:
            matrix = tf.constant(_cubic_matrix(side, size))
            maps = tf.einsum("sh,bhw->bsw" if axis == 0 else "sw,bhw->bhs", matrix, maps)
    above = maps - tf.reduce_min(maps, axis=[1, 2], keepdims=True)
    return tf.math.divide_no_nan(above, tf.reduce_max(above, axis=[1, 2], keepdims=True))


def grey_levels(scores: tf.Tensor) -> tf.Tensor:
    """Scales score maps to 0..255 and rounds down; int32 of the same shape."""
    return tf.cast(scores * 255.0, tf.int32)


@functools.cache
def _cubic_matrix(side: int, size: int) -> np.ndarray:
    """Returns the matrix that resizes `side` values to `size` by INTER_CUBIC, float64 [size, side]."""
    position = ((np.arange(size) + 0.5) * (side / size) - 0.5).astype(np.float32)
    before = np.floor(position)
    t, one, a = position - before, np.float32(1), np.float32(-0.75)
    far, near = t + one, one - t
    kernel = [
        ((a * far - 5 * a) * far + 8 * a) * far - 4 * a,
        ((a + 2) * t - (a + 3)) * t * t + one,
        ((a + 2) * near - (a + 3)) * near * near + one,
    ]
    kernel.append(one - kernel[0] - kernel[1] - kernel[2])
    matrix = np.zeros([size, side])
    for offset, values in enumerate(kernel, start=-1):
        column = np.clip(before.astype(np.int64) + offset, 0, side - 1)
        np.add.at(matrix, (np.arange(size), column), values)
    return matrix
