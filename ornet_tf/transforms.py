"""Views: the part of a picture that the network sees. One view moves the picture and its boxes.

A picture is resized to R x R (its aspect is not kept), then a C x C square is cut out of it: the centre one for
evaluation, a random one, perhaps mirrored, for training.
"""
from __future__ import annotations

import typing

import tensorflow as tf


class View(typing.NamedTuple):
    """A part of a picture, in fractions of the picture's height and width.

    Attributes:
      top: scalar float32, the upper edge.
      left: scalar float32, the left edge.
      height: scalar float32.
      width: scalar float32.
      flip: scalar bool, whether the part is mirrored left to right after it is cut out.
    """

    top: tf.Tensor
    left: tf.Tensor
    height: tf.Tensor
    width: tf.Tensor
    flip: tf.Tensor


def evaluation_view(*, resize: int, crop: int) -> View:
    """Returns the centre crop (rounded towards the upper left) of `crop` pixels of a picture of `resize` pixels.

    Raises:
      ValueError: unless 1 <= crop <= resize.
    """
    check_sizes(resize=resize, crop=crop)
    start = tf.constant((resize - crop) // 2 / resize, tf.float32)
    side = tf.constant(crop / resize, tf.float32)
    return View(start, start, side, side, tf.constant(False))


def training_view(seed: tf.Tensor, *, resize: int, crop: int, horizontal_flip: bool) -> View:
    """Draws a view: a crop at one of the (resize - crop + 1)^2 whole-pixel places, all as likely, mirrored or not.

    Args:
      seed: int32 or int64 [2]; the view is a function of it alone.
      resize: side of the resized picture, in pixels.
      crop: side of the crop, in pixels.
      horizontal_flip: whether to mirror with probability 0.5.

    Raises:
      ValueError: unless 1 <= crop <= resize.
    """
    check_sizes(resize=resize, crop=crop)
    draws = tf.random.stateless_uniform([3], seed)
    start = tf.floor(draws[:2] * (resize - crop + 1)) / resize
    side = tf.constant(crop / resize, tf.float32)
    return View(start[0], start[1], side, side, tf.logical_and(draws[2] < 0.5, horizontal_flip))


def apply(image: tf.Tensor, view: View, *, resize: int, crop: int) -> tf.Tensor:
    """Returns the view of an image as the network gets it.

    Args:
      image: uint8 [H, W, 3].
      view: a view made for the same `resize` and `crop`.
      resize: side of the resized picture, in pixels.
      crop: side of the result, in pixels.

    Returns:
      float32 [crop, crop, 3], whole numbers in 0..255.
    """
    start = tf.cast(tf.round(tf.stack([view.top, view.left]) * resize), tf.int32)
    part = tf.slice(resized(image, resize), tf.concat([start, [0]], 0), [crop, crop, 3])
    part = tf.reverse(part, tf.boolean_mask([1], view.flip[tf.newaxis]))
    return tf.cast(part, tf.float32)


def resized(image: tf.Tensor, side: int) -> tf.Tensor:
    """Resizes an image to `side` x `side`: bilinear, antialiased, as Pillow's BILINEAR.

    The result is rounded to whole grey levels as Pillow's is: a picture that was kept resized is the same picture.

    Args:
      image: uint8 [H, W, 3].
      side: in pixels.

    Returns:
      uint8 [side, side, 3].
    """
    if image.shape.as_list() == [side, side, 3]:
        return image
    pixels = tf.image.resize(image, [side, side], method="bilinear", antialias=True)
    return tf.saturate_cast(tf.round(tf.ensure_shape(pixels, [side, side, 3])), tf.uint8)


def boxes_into_view(boxes: tf.Tensor, view: View) -> tf.Tensor:
    """Moves boxes from the picture into a view.

    Args:
      boxes: float32 [..., 4], ymin xmin ymax xmax in fractions of the picture.
      view: the view.

    Returns:
      float32 [..., 4], ymin xmin ymax xmax in fractions of the view; not clipped, so they can lie outside 0..1.
    """
    boxes = (boxes - _corner(view)) / _extent(view)
    return tf.where(view.flip, _mirrored(boxes), boxes)


def boxes_out_of_view(boxes: tf.Tensor, view: View) -> tf.Tensor:
    """Moves boxes from a view back into the picture; the inverse of `boxes_into_view`.

    Args:
      boxes: float32 [..., 4], ymin xmin ymax xmax in fractions of the view.
      view: the view.

    Returns:
      float32 [..., 4], ymin xmin ymax xmax in fractions of the picture.
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
