"""3x3 convolutions by Winograd's minimal filtering F(4x4, 3x3): a quarter of the multiplications of the plain sum.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, section 4.3. A tile of 6x6 pixels gives
4x4 results: both are mapped by small matrices, and between them stand 36 products of matrices over the channels. On
CPUs this is faster than TensorFlow's own convolution where there are many channels; on GPUs cuDNN does it by itself.
"""
from __future__ import annotations

import contextlib
import threading

import numpy as np
import tensorflow as tf

# Measured from 128 and from 256 on (benchmarks/README.md); with fewer, mapping tiles weighs more against the products.
MIN_CHANNELS = 128

_TILE, _STEP = 6, 4
_TILES_AT_ONCE = 784
_FROM_PIXELS = np.array([
    [4, 0, -5, 0, 1, 0],
    [0, -4, -4, 1, 1, 0],
    [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0],
    [0, 2, -1, -2, 1, 0],
    [0, 4, 0, -5, 0, 1],
])
_FROM_KERNEL = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
_TO_PIXELS = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])

_here = threading.local()  # MirroredStrategy traces each replica in a thread of its own


@contextlib.contextmanager
def preferred():
    """Makes frozen `layers.Conv3x3` that are called inside take `convolve` where it is the faster way."""
    before = getattr(_here, "is_preferred", False)
    _here.is_preferred = True
    try:
        yield
    finally:
        _here.is_preferred = before


def is_faster(channels_in: int, channels_out: int) -> bool:
    """Returns whether `convolve` is preferred here, and likely to be faster than `tf.nn.conv2d`."""
    if not getattr(_here, "is_preferred", False) or tf.config.list_logical_devices("GPU"):
        return False
    return min(channels_in, channels_out) >= MIN_CHANNELS


def convolve(images: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """The same as `tf.nn.conv2d` with stride 1 and padding SAME, but for rounding: some 1e-5 of the largest value.

    The gradient reaches the images only: the kernel counts as a constant.

    Args:
      images: float32 [B, H, W, C]; H, W and C are known when the graph is made.
      kernel: float32 [3, 3, C, K].

    Returns:
      float32 [B, H, W, K].
    """
    kernel = tf.stop_gradient(kernel)

    @tf.custom_gradient
    def compute(images):
        # With zeros around it, the gradient of a convolution is one with the kernel turned by half and transposed.
        outputs = _filter(images, kernel)

        def gradient(upstream):
            with tf.control_dependencies([upstream]):
                turned = tf.transpose(tf.reverse(kernel, [0, 1]), [0, 1, 3, 2])
            return _filter(tf.ensure_shape(upstream, outputs.shape), turned)

        return outputs, gradient

    return compute(images)


def _filter(images, kernel):
    """Filters groups of images, one after the other: what lies between the maps takes 2.25 times their memory."""
    (count, height, width, channels), filters = images.shape, kernel.shape[-1]
    # Not before it is needed: else the executor maps the kernels of all layers at once, four times their memory.
    with tf.control_dependencies([images]):
        kernel = tf.identity(kernel)
    weights = tf.matmul(_both_axes(_FROM_KERNEL), tf.reshape(kernel, [9, channels * filters]))
    weights = tf.reshape(weights, [_TILE**2, channels, filters])
    group = max(1, _TILES_AT_ONCE * _STEP**2 // (height * width))
    if count is None or count <= group or count % group:
        return _filter_group(images, weights)
    groups = tf.reshape(images, [count // group, group, height, width, channels])
    signature = tf.TensorSpec([group, height, width, filters], images.dtype)
    filtered = tf.map_fn(
        lambda some: _filter_group(some, weights), groups, fn_output_signature=signature, parallel_iterations=1
    )
    return tf.reshape(filtered, [count, height, width, filters])


def _filter_group(images, weights):
    (height, width, channels), filters = images.shape[1:], weights.shape[-1]
    rows, columns = -(-height // _STEP), -(-width // _STEP)
    tiles = tf.shape(images)[0] * rows * columns
    pixels = tf.matmul(_both_axes(_FROM_PIXELS)[:, _order()], _pixels_of_tiles(images, rows, columns))
    products = tf.matmul(tf.reshape(pixels, [_TILE**2, tiles, channels]), weights)
    outputs = tf.matmul(_both_axes(_TO_PIXELS), tf.reshape(products, [_TILE**2, tiles * filters]))
    outputs = tf.transpose(tf.reshape(outputs, [_STEP, _STEP, -1, rows, columns, filters]), [2, 3, 0, 4, 1, 5])
    return tf.reshape(outputs, [-1, rows * _STEP, columns * _STEP, filters])[:, :height, :width]


def _pixels_of_tiles(images, rows: int, columns: int):
    """Returns a row for each of the 36 places in a tile, in the order of `_order`: [36, tiles C].

    Tiles begin every 4 pixels: places 0 to 3 of a tile are its own, 4 and 5 are 0 and 1 of the next tile.
    """
    height, width, channels = images.shape[1:]
    missing = [[0, 0], [1, (rows + 1) * _STEP - height - 1], [1, (columns + 1) * _STEP - width - 1], [0, 0]]
    steps = tf.reshape(tf.pad(images, missing), [-1, rows + 1, _STEP, columns + 1, _STEP, channels])
    steps = tf.transpose(steps, [2, 4, 0, 1, 3, 5])  # place in the step, image, step, channel
    rest = _TILE - _STEP
    quarters = (
        steps[:, :, :, :-1, :-1],
        steps[:rest, :, :, 1:, :-1],
        steps[:, :rest, :, :-1, 1:],
        steps[:rest, :rest, :, 1:, 1:],
    )
    size = tf.shape(images)[0] * rows * columns * channels
    return tf.concat([tf.reshape(quarter, [-1, size]) for quarter in quarters], axis=0)


def _order() -> list[int]:
    """Returns the places of a tile, row by row from 0 to 35, in the order in which `_pixels_of_tiles` has them."""
    own, next_one = range(_STEP), range(_STEP, _TILE)
    quarters = (own, own), (next_one, own), (own, next_one), (next_one, next_one)
    return [row * _TILE + column for rows, columns in quarters for row in rows for column in columns]


def _both_axes(matrix: np.ndarray) -> np.ndarray:
    """Returns the matrix that maps both axes of a flattened square by `matrix`."""
    return np.kron(matrix, matrix).astype(np.float32)
