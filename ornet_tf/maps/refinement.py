"""Refinement of activation maps along the edges of their images. Not in ORNet's paper.

This is pixel-adaptive mask refinement (PAMR; Araslanov and Roth, "Single-stage semantic segmentation from image
labels", CVPR 2020, section 3.3): each pixel takes the mean of its neighbours' values, weighted by how similar their
colours are. Repeated, this spreads values over regions of one colour, and they stop at edges.

One thing differs from its authors' code, apart from the constants' values: differences of colour that rounding can
cause do not decide; see `_ROUNDING`.
"""
from __future__ import annotations

import tensorflow as tf

# The authors' number. Values can move by 8 pixels in each iteration.
_ITERATIONS = 10
# Of each pixel, the 8 directions at these distances. The far ones join parts of an object that thin lines divide.
_DISTANCES = (1, 2, 4, 8)
_OFFSETS = [
    (row * distance, column * distance)
    for distance in _DISTANCES
    for row in (-1, 0, 1)
    for column in (-1, 0, 1)
    if row or column
]
_MARGIN = max(_DISTANCES)
# The weight of a neighbour falls by the factor e if its colour differs by this many standard deviations of the colours
# around: low contrast counts as much as high contrast. It is the authors' value.
_SHARPNESS = 0.1
# In grey levels, 0..255; added to the divisor of differences. In regions of one colour, such as an overexposed sky, the
# only differences are rounding errors of about 1e-5. The authors' value would let them decide.
_ROUNDING = 2.5e-3
# Of the border of refined masks: boxes then depend little on the threshold. It is our choice.
_STEEPNESS = 4.0


def refine(activation_map: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """Refines activation maps along the edges of their images.

    Image and map are resized to half the image's sides. An odd side is rounded up; its last row or column is not
    averaged with another one. XLA can compile this function. It is meant for inference: nothing saves the memory that
    gradients would need.

    Args:
      activation_map: floating point [B, h, w, 1] in 0..1, of any resolution; B may be 0.
      images: float32 [B, H, W, 3] in 0..255. H and W must be static.

    Returns:
      float32 [B, ceil(H / 2), ceil(W / 2), 1] in 0..1. NaN in a map stays, and spreads.

    Raises:
      ValueError: if an image has another shape, an unknown side, or a side of fewer than 15 pixels.
    """
    images = tf.convert_to_tensor(images)
    if not images.shape.is_compatible_with([None, None, None, 3]) or None in images.shape[1:].as_list():
        raise ValueError(f"images must have the shape [B, H, W, 3] with static H and W, got {images.shape}.")
    if min(images.shape[1:3]) < 2 * _MARGIN - 1:
        raise ValueError(f"images must have at least {2 * _MARGIN - 1} pixels on each side, got {images.shape}.")
    # The mean of 2 x 2 pixels: XLA can't compile TensorFlow's resizing with antialiasing.
    pixels = tf.nn.avg_pool2d(images, ksize=2, strides=2, padding="SAME")
    height, width = pixels.shape[1:3]
    values = tf.image.resize(tf.cast(activation_map, tf.float32), [height, width])
    weights = tf.unstack(_neighbour_weights(tf.transpose(pixels, [3, 0, 1, 2])))  # 32 of [B, height, width]

    def spread(i, values):
        padded = _pad(values)
        moved = [padded[:, _MARGIN + y :, _MARGIN + x :][:, :height, :width] for y, x in _OFFSETS]
        return i + 1, tf.add_n([weight * neighbour for weight, neighbour in zip(weights, moved)])

    _, values = tf.while_loop(lambda i, _: i < _ITERATIONS, spread, (0, values[..., 0]))
    return tf.minimum(values, 1.0)[..., tf.newaxis]  # rounding can exceed 1


def refine_mask(activation_map: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """Refines the pixels of activation maps that are above 0.5; see `refine` for the arguments.

    Values of 0 and 1 keep more of an object than the map's own values, which differ inside of it:
    benchmarks/whole_objects/README.md compares both. Between many colours a small object can dissolve; it then stays as
    it was. NaN stays.

    Returns:
      float32 [B, ceil(H / 2), ceil(W / 2), 1] in 0..1; the refined mask is where it is above 0.5. Only its border has
      values other than 0 and 1.
    """
    mask = tf.cast(activation_map > 0.5, tf.float32)
    mask = tf.where(tf.math.is_nan(activation_map), tf.cast(activation_map, tf.float32), mask)
    refined = refine(mask, images)
    has_dissolved = tf.reduce_max(refined, axis=[1, 2, 3], keepdims=True) <= 0.5
    refined = tf.where(has_dissolved, tf.image.resize(mask, tf.shape(refined)[1:3], method="nearest"), refined)
    return tf.clip_by_value(0.5 + _STEEPNESS * (refined - 0.5), 0.0, 1.0)


def refine_prediction(outputs: dict[str, tf.Tensor], images: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns a method's prediction with its "activation_map" refined by `refine_mask`.

    Args:
      outputs: what `Method.predict` returns.
      images: see `refine`.

    Returns:
      `outputs` with another "activation_map". The map before is "unrefined_map", and "score_map" if they have none.
    """
    before = outputs["activation_map"]
    refined = refine_mask(before, images)
    return {"score_map": before, **outputs, "unrefined_map": before, "activation_map": refined}


def _neighbour_weights(pixels: tf.Tensor) -> tf.Tensor:
    """Returns the weights of each pixel's neighbours, whose sum is 1: float32 [32, B, h, w].

    Loops over the neighbours need a third of the memory of operations on all of them, and no more time.

    Args:
      pixels: float32 [3, B, h, w]. The channels come first, as sums over the first axis are fast.
    """
    padded, shape = _pad(pixels), tf.shape(pixels)
    begins = tf.constant([[0, 0, _MARGIN + y, _MARGIN + x] for y, x in _OFFSETS])
    number = len(_OFFSETS)

    def difference(n):
        return tf.slice(padded, begins[n], shape) - pixels

    def add(n, total, squares):
        # Sums of differences, not of colours: the variance would be lost among the squares of bright colours.
        change = difference(n)
        return n + 1, total + change, squares + tf.square(change)

    zeros = tf.zeros_like(pixels)
    _, total, squares = tf.while_loop(lambda n, *_: n < number, add, (0, zeros, zeros))
    deviation = tf.sqrt(tf.maximum(squares / number - tf.square(total / number), 0.0))
    scale = -1.0 / (3.0 * (_SHARPNESS * deviation + _ROUNDING))
    spec = tf.TensorSpec(pixels.shape[1:], tf.float32)
    similarity = tf.map_fn(
        lambda n: tf.reduce_sum(tf.abs(difference(n)) * scale, axis=0), tf.range(number), fn_output_signature=spec
    )
    similarity = tf.exp(similarity - tf.reduce_max(similarity, axis=0))
    return similarity / tf.reduce_sum(similarity, axis=0)


def _pad(planes: tf.Tensor) -> tf.Tensor:
    """Mirrors the last two axes at their edges."""
    margins = [[0, 0]] * (planes.shape.rank - 2) + [[_MARGIN, _MARGIN]] * 2
    return tf.pad(planes, margins, "SYMMETRIC")
