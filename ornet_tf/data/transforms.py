"""Makes views, the parts of images that the network gets, and applies them to images, boxes and masks.

An image is resized to R x R (its aspect ratio is not kept) and then cropped to C x C: at the centre for evaluation, at
a random place, possibly mirrored, for training.
"""
from __future__ import annotations

import typing

import tensorflow as tf


class View(typing.NamedTuple):
    """A part of an image, in fractions of the image's height and width.

    Attributes:
      top: scalar float32, the upper edge.
      left: scalar float32, the left edge.
      height: scalar float32.
      width: scalar float32.
      flip: scalar bool, whether the crop is mirrored left to right.
    """

    top: tf.Tensor
    left: tf.Tensor
    height: tf.Tensor
    width: tf.Tensor
    flip: tf.Tensor


def evaluation_view(*, resize: int, crop: int) -> View:
    """Returns the view of the centre crop, rounded towards the upper left.

    Args:
      resize: side of the resized image, in pixels.
      crop: side of the crop, in pixels.

    Raises:
      ValueError: unless 1 <= crop <= resize.
    """
    check_sizes(resize=resize, crop=crop)
    start = tf.constant((resize - crop) // 2 / resize, tf.float32)
    side = tf.constant(crop / resize, tf.float32)
    return View(start, start, side, side, tf.constant(False))


def training_view(
    seed: tf.Tensor, *, resize: int, crop: int, horizontal_flip: bool, random_crop: bool = True
) -> View:
    """Draws a random view: a crop at any of the (resize - crop + 1)^2 whole-pixel places with equal probability.

    Args:
      seed: int32 or int64 [2]; the view is a function of it alone.
      resize: side of the resized image, in pixels.
      crop: side of the crop, in pixels.
      horizontal_flip: whether to mirror with probability 0.5.
      random_crop: False for the centre crop of `evaluation_view`.

    Raises:
      ValueError: unless 1 <= crop <= resize.
    """
    check_sizes(resize=resize, crop=crop)
    draws = tf.random.stateless_uniform([3], seed)
    flip = tf.logical_and(draws[2] < 0.5, horizontal_flip)
    if not random_crop:
        return evaluation_view(resize=resize, crop=crop)._replace(flip=flip)
    start = tf.floor(draws[:2] * (resize - crop + 1)) / resize
    side = tf.constant(crop / resize, tf.float32)
    return View(start[0], start[1], side, side, flip)


def apply(image: tf.Tensor, view: View, *, resize: int, crop: int, frame: tf.Tensor | None = None) -> tf.Tensor:
    """Resizes and crops an image to a view, the network's input.

    Args:
      image: uint8 [H, W, 3].
      view: a view made for the same `resize` and `crop`.
      resize: side of the resized image, in pixels.
      crop: side of the result, in pixels.
      frame: float32 [4], top, left, height and width of the image within its pixels; None for all of them.

    Returns:
      float32 [crop, crop, 3], whole numbers in 0..255.
    """
    start = tf.cast(tf.round(tf.stack([view.top, view.left]) * resize), tf.int32)
    part = _part_of_resized(image, start, resize=resize, crop=crop, frame=frame)
    part = tf.cond(view.flip, lambda: tf.reverse(part, [1]), lambda: part)
    return tf.cast(part, tf.float32)


def resize_image(image: tf.Tensor, side: int, frame: tf.Tensor | None = None) -> tf.Tensor:
    """Resizes an image to `side` x `side` with an antialiased bilinear filter, as Pillow's BILINEAR.

    The result is rounded to whole grey levels as Pillow's is, so that cached images equal those resized on the fly.

    Args:
      image: uint8 [H, W, 3].
      side: in pixels.
      frame: see `apply`.

    Returns:
      uint8 [side, side, 3].
    """
    return _part_of_resized(image, tf.constant([0, 0]), resize=side, crop=side, frame=frame)


def _part_of_resized(
    image: tf.Tensor, start: tf.Tensor, *, resize: int, crop: int, frame: tf.Tensor | None
) -> tf.Tensor:
    """Returns `resize_image(image, resize, frame)[top:top + crop, left:left + crop]`, to the last bit.

    Args:
      image: uint8 [H, W, 3].
      start: int32 [2], top and left in pixels of the resized image.
      resize: side of the resized image, in pixels.
      crop: side of the part, in pixels.
      frame: see `apply`.

    Returns:
      uint8 [crop, crop, 3].
    """
    if image.shape.as_list() == [resize, resize, 3]:
        return tf.slice(image, tf.concat([start, [0]], 0), [crop, crop, 3])
    if frame is None:
        frame = tf.concat([[0.0, 0.0], tf.cast(tf.shape(image)[:2], tf.float32)], 0)
    corner, size = frame[:2], frame[2:]
    scale = resize / size
    # The op computes the source position of a pixel as (place + 0.5) / scale - start / scale, in float32. Along an axis
    # where this is exact, only the part is computed. Else the whole axis is computed and then cropped.
    is_exact = tf.logical_and(_has_exact_positions(size, scale, resize), tf.equal(corner, 0.0))
    skipped = tf.where(is_exact, start, 0)
    kept = tf.where(is_exact, crop, resize)
    translation = -tf.cast(skipped, tf.float32) - corner * scale
    part = image
    for axis in range(2):
        part = _resize_rows(part, scale[axis], translation[axis], kept[axis])
        if axis == 1:  # a sum of bytes whose weights add up to 1 rounds to a byte
            part = tf.cast(tf.round(part), tf.uint8)
        part = tf.transpose(part, [1, 0, 2])
    return tf.slice(part, tf.concat([start - skipped, [0]], 0), [crop, crop, 3])


def _resize_rows(image: tf.Tensor, scale: tf.Tensor, translation: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Scales and moves the first axis of an image, [H, W, 3], and returns its first rows, float32 [count, W, 3].

    To the op, a row is one pixel with 3 W channels. It adds channels several at a time, but pixels one after the other.
    """
    height, width, channels = tf.unstack(tf.shape(image))
    rows = tf.raw_ops.ScaleAndTranslate(
        images=tf.reshape(image, [1, height, 1, width * channels]),
        size=tf.stack([count, 1]),
        scale=tf.stack([scale, 1.0]),
        translation=tf.stack([translation, 0.0]),
        kernel_type="triangle",
        antialias=True,
    )
    return tf.reshape(rows, [count, width, 3])


def _has_exact_positions(size: tf.Tensor, scale: tf.Tensor, resize: int) -> tf.Tensor:
    """Returns for each axis whether float32 represents all source positions of resized pixels exactly; bool [2].

    The positions are multiples of size / (2 resize), and sizes are multiples of 1/8. They fit the 24 bits of float32 if
    `resize` is a power of two, 16 resize size <= 2^24, and the inverse of the rounded scale rounds to size / resize.
    """
    if resize & (resize - 1):
        return tf.constant([False, False])
    inverse = tf.cast(1.0 / tf.cast(scale, tf.float64), tf.float32)
    is_inverse = tf.equal(inverse, size / resize)
    return tf.logical_and(is_inverse, size <= 2**24 // (16 * resize))


def apply_to_mask(mask: tf.Tensor, view: View, *, resize: int, crop: int) -> tf.Tensor:
    """Resizes and crops a mask to a view; source positions are rounded down, as by OpenCV's INTER_NEAREST.

    Args:
      mask: any type [H, W].
      view: a view made for the same `resize` and `crop`.
      resize: side of the resized image, in pixels.
      crop: side of the result, in pixels.

    Returns:
      The same type, [crop, crop].
    """
    size = tf.cast(tf.shape(mask), tf.float64)
    start = tf.cast(tf.round(tf.stack([view.top, view.left]) * resize), tf.float64)
    places = (start[:, tf.newaxis] + tf.range(crop, dtype=tf.float64)) * (size[:, tf.newaxis] / resize)
    row, column = tf.unstack(tf.minimum(tf.cast(tf.floor(places), tf.int32), tf.shape(mask)[:, tf.newaxis] - 1))
    part = tf.gather(tf.gather(mask, row), column, axis=1)
    return tf.cond(view.flip, lambda: tf.reverse(part, [1]), lambda: part)


def boxes_into_view(boxes: tf.Tensor, view: View) -> tf.Tensor:
    """Converts boxes in the frame of the image to the frame of a view.

    Args:
      boxes: float32 [..., 4], ymin xmin ymax xmax in fractions of the image.
      view: the view.

    Returns:
      float32 [..., 4], ymin xmin ymax xmax in fractions of the view, not clipped to 0..1.
    """
    boxes = (boxes - _corner(view)) / _extent(view)
    return tf.where(view.flip, _mirrored(boxes), boxes)


def boxes_out_of_view(boxes: tf.Tensor, view: View) -> tf.Tensor:
    """Converts boxes in the frame of a view to the frame of the image; the inverse of `boxes_into_view`.

    Args:
      boxes: float32 [..., 4], ymin xmin ymax xmax in fractions of the view.
      view: the view.

    Returns:
      float32 [..., 4], ymin xmin ymax xmax in fractions of the image.
    """
    boxes = tf.where(view.flip, _mirrored(boxes), boxes)
    return boxes * _extent(view) + _corner(view)


def check_sizes(*, resize: int, crop: int) -> None:
    """Raises ValueError unless 1 <= crop <= resize."""
    if not 1 <= crop <= resize:
        raise ValueError(f"crop must lie in 1..resize; got crop {crop} and resize {resize}. Choose a crop that fits.")


def _corner(view: View) -> tf.Tensor:
    return tf.stack([view.top, view.left, view.top, view.left])


def _extent(view: View) -> tf.Tensor:
    return tf.stack([view.height, view.width, view.height, view.width])


def _mirrored(boxes: tf.Tensor) -> tf.Tensor:
    ymin, xmin, ymax, xmax = tf.unstack(boxes, axis=-1)
    return tf.stack([ymin, 1.0 - xmax, ymax, 1.0 - xmin], axis=-1)
