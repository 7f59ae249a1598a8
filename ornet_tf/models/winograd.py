"""3x3 convolutions by Winograd's minimal filtering F(4x4, 3x3): a quarter of the multiplications of the plain sum.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, section 4.3. A tile of 6x6 pixels gives
4x4 results. Small matrices transform the pixels and the results; in between there are 36 matrix products over the
channels. On CPUs this is faster than TensorFlow's convolution if there are many channels. On GPUs cuDNN does it itself.
"""
from __future__ import annotations

import contextlib
import threading

import numpy as np
import tensorflow as tf

# Measured with 128 and 256 channels (benchmarks/README.md); with fewer, transforming tiles takes a larger share.
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

_state = threading.local()  # MirroredStrategy traces each replica in its own thread


@contextlib.contextmanager
def enable():
    """Lets frozen `layers.Conv3x3` layers that are called inside use `convolve` where it is faster."""
    before = getattr(_state, "is_enabled", False)
    _state.is_enabled = True
    try:
        yield
    finally:
        _state.is_enabled = before


def is_faster(channels_in: int, channels_out: int) -> bool:
    """Returns whether `convolve` is enabled in this thread and likely to be faster than `tf.nn.conv2d`."""
    if not getattr(_state, "is_enabled", False) or tf.config.list_logical_devices("GPU"):
        return False
    return min(channels_in, channels_out) >= MIN_CHANNELS


def convolve(images: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Computes `tf.nn.conv2d` with stride 1 and padding SAME, up to rounding errors of about 1e-5 of the largest value.

    Only the images get a gradient; the kernel counts as a constant.

    Args:
      images: float32 [B, H, W, C]; H, W and C must be static.
      kernel: float32 [3, 3, C, K].

    Returns:
      float32 [B, H, W, K].
    """
    kernel = tf.stop_gradient(kernel)

    @tf.custom_gradient
    def compute(images):
        # The gradient of a zero-padded convolution is a convolution with the kernel rotated by 180 degrees, its two
        # channel axes exchanged.
        outputs = _filter(images, kernel)

        def gradient(upstream):
            with tf.control_dependencies([upstream]):
                rotated = tf.transpose(tf.reverse(kernel, [0, 1]), [0, 1, 3, 2])
            return _filter(tf.ensure_shape(upstream, outputs.shape), rotated)

        return outputs, gradient

    return compute(images)


def _filter(images, kernel):
    """Filters groups of images one after the other: transformed tiles need 2.25 times the memory of the images."""
    (count, height, width, channels), filters = images.shape, kernel.shape[-1]
    # Without this dependency the executor transforms the kernels of all layers at once, in four times their memory.
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
        lambda images: _filter_group(images, weights), groups, fn_output_signature=signature, parallel_iterations=1
    )
    return tf.reshape(filtered, [count, height, width, filters])


def _filter_group(images, weights):
    (height, width, channels), filters = images.shape[1:], weights.shape[-1]
    rows, columns = -(-height // _STEP), -(-width // _STEP)
    tiles = tf.shape(images)[0] * rows * columns
    pixels = tf.matmul(_both_axes(_FROM_PIXELS)[:, _position_order()], _pixels_of_tiles(images, rows, columns))
    products = tf.matmul(tf.reshape(pixels, [_TILE**2, tiles, channels]), weights)
    outputs = tf.matmul(_both_axes(_TO_PIXELS), tf.reshape(products, [_TILE**2, tiles * filters]))
    outputs = tf.transpose(tf.reshape(outputs, [_STEP, _STEP, -1, rows, columns, filters]), [2, 3, 0, 4, 1, 5])
    return tf.reshape(outputs, [-1, rows * _STEP, columns * _STEP, filters])[:, :height, :width]


def _pixels_of_tiles(images, rows: int, columns: int):
    """Returns a row for each of the 36 positions in a tile, in the order of `_position_order`: [36, tiles C].

    Tiles begin every 4 pixels and overlap: positions 4 and 5 of a tile are positions 0 and 1 of the next one.
    """
    height, width, channels = images.shape[1:]
    missing = [[0, 0], [1, (rows + 1) * _STEP - height - 1], [1, (columns + 1) * _STEP - width - 1], [0, 0]]
    steps = tf.reshape(tf.pad(images, missing), [-1, rows + 1, _STEP, columns + 1, _STEP, channels])
    steps = tf.transpose(steps, [2, 4, 0, 1, 3, 5])  # row and column in the step, image, steps, channel
    rest = _TILE - _STEP
    quarters = (
        steps[:, :, :, :-1, :-1],
        steps[:rest, :, :, 1:, :-1],
        steps[:, :rest, :, :-1, 1:],
        steps[:rest, :rest, :, 1:, 1:],
    )
    size = tf.shape(images)[0] * rows * columns * channels
    return tf.concat([tf.reshape(quarter, [-1, size]) for quarter in quarters], axis=0)


def _position_order() -> list[int]:
    """Returns the raster indices 0..35 of a tile's positions, in the order of the rows of `_pixels_of_tiles`."""
    first, last = range(_STEP), range(_STEP, _TILE)
    quarters = (first, first), (last, first), (first, last), (last, last)
    return [row * _TILE + column for rows, columns in quarters for row in rows for column in columns]


def _both_axes(matrix: np.ndarray) -> np.ndarray:
    """Returns the matrix that applies `matrix` to both axes of a flattened square."""
    return np.kron(matrix, matrix).astype(np.float32)
