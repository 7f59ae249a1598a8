"""Winograd's minimal filtering F(4x4, 3x3): 3x3 convolutions with a quarter of the multiplications of the plain sum.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, section 4.3. A tile of 6x6 pixels gives
4x4 results. Small matrices transform the pixels and the results; in between there are 36 matrix products over the
channels.
"""
from __future__ import annotations

import numpy as np
import tensorflow as tf

STEP = 4  # results of a tile in each direction; tiles overlap by 2 pixels
_TILE = 6
_POINTS = (0.0, -np.sqrt(2), np.sqrt(2), -np.sqrt(0.5), np.sqrt(0.5))  # and infinity; 1, -1, 2, -2 round twice as much
_TILES_AT_ONCE = 196  # more do not fit the caches; for fewer, starting operations takes long
_FILTERS_AT_ONCE = 128  # oneDNN copies wider weights before it multiplies, up to a third of the time


def _minimal_filtering() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the matrices that map 6 pixels [6, 6], a kernel [6, 3], and the 6 products to 4 results [4, 6]."""
    from_pixels, from_kernel, to_pixels = (np.zeros([rows, _TILE]) for rows in (_TILE, 3, STEP))
    for index, point in enumerate(_POINTS):
        others = [other for other in _POINTS if other != point]
        scale = abs(point) or 1.0
        from_pixels[index, :-1] = np.poly(others)[::-1] * scale / np.prod(np.subtract(point, others))
        from_kernel[:, index] = point ** np.arange(3) / scale
        to_pixels[:, index] = point ** np.arange(STEP)
    from_pixels[-1] = np.poly(_POINTS)[::-1]
    from_kernel[-1, -1] = to_pixels[-1, -1] = 1
    return from_pixels, from_kernel.T, to_pixels


_FROM_PIXELS, _FROM_KERNEL, _TO_PIXELS = (np.kron(matrix, matrix) for matrix in _minimal_filtering())  # both axes


def rotate(kernel):
    """Returns the kernel of the gradient: rotated by 180 degrees, the two channel axes exchanged."""
    return tf.transpose(tf.reverse(kernel, [0, 1]), [0, 1, 3, 2])


def map_kernel(kernel):
    """Maps a kernel [3, 3, C, K] to [36, K / k, C, k] for the k filters that are multiplied at once."""
    channels, filters = kernel.shape[2:]
    at_once = _FILTERS_AT_ONCE if filters % _FILTERS_AT_ONCE == 0 else filters
    blocks = tf.transpose(tf.reshape(kernel, [9, channels, -1, at_once]), [0, 2, 1, 3])
    mapped = tf.matmul(tf.constant(_FROM_KERNEL, kernel.dtype), tf.reshape(blocks, [9, channels * filters]))
    return tf.reshape(mapped, [_TILE**2, filters // at_once, channels, at_once])


def filter_images(images, weights):
    """Convolves images with a mapped kernel, stride 1 and zero padding to the same size.

    Groups of tiles are filtered one after the other, because transformed tiles need 2.25 times the memory of the
    images. A group is a strip of an image, or several images.

    Args:
      images: float32 [B, H, W, C]; H, W and C must be static.
      weights: the result of `map_kernel`.

    Returns:
      float32 [B, H, W, K].
    """
    count, height, width, channels = images.shape
    strips, images_at_once = _groups(height, width)
    strip_height, rows = height // strips, tf.reshape(images, [-1, width, channels])
    padded_height, padded_width = (_round_up(size) + _TILE - STEP for size in (strip_height, width))

    def filter_group(index):
        image, top = index // strips * images_at_once, index % strips * strip_height
        first, last = tf.maximum(top - 1, 0), tf.minimum(top + strip_height + 1, height)
        group = rows[image * height + first : (image + images_at_once - 1) * height + last]
        group = tf.reshape(group, [-1, last - first, width, channels])
        above = first - (top - 1)
        below = padded_height - above - (last - first)
        group = tf.pad(group, [[0, 0], [above, below], [1, padded_width - 1 - width], [0, 0]])
        group = tf.reshape(group, [1 if images_at_once == 1 else -1, padded_height, padded_width, channels])
        return _filter_group(group, weights, strip_height, width)

    groups = -(-(tf.shape(images)[0] if count is None else count) // images_at_once) * strips
    if isinstance(groups, int) and groups == 1:
        return filter_group(0)
    results = tf.TensorArray(images.dtype, groups, element_shape=[None, strip_height, width, _filters(weights)])
    _, results = tf.while_loop(
        lambda index, results: index < groups,
        lambda index, results: (index + 1, results.write(index, filter_group(index))),
        [0, results], parallel_iterations=2,  # while one group waits for a thread, the other one uses it
    )
    return tf.reshape(results.concat(), [-1 if count is None else count, height, width, _filters(weights)])


def _groups(height: int, width: int) -> tuple[int, int]:
    """Returns into how many strips an image is cut, and how many images are filtered at once (1 if strips > 1)."""
    rows, columns = _round_up(height) // STEP, _round_up(width) // STEP
    rows_at_once = max(1, _TILES_AT_ONCE // columns)
    if height % STEP or rows_at_once >= rows:
        return 1, max(1, rows_at_once // rows)
    return next(n for n in range(1, rows + 1) if rows % n == 0 and rows // n <= rows_at_once), 1


def _filter_group(padded, weights, height: int, width: int):
    """Filters zero-padded images [n, 4 r + 2, 4 c + 2, C], which have r x c tiles each: [n, height, width, K]."""
    count, padded_height, padded_width, channels = padded.shape
    images = np.arange(count) if count else tf.range(tf.shape(padded)[0])
    rows, columns = padded_height // STEP, padded_width // STEP
    tiles = (count or tf.shape(padded)[0]) * rows * columns

    # A single gather cuts tiles and puts their 36 positions first, another one puts the results in their places.
    # Slices, transpositions and concatenations would need more passes over the data.
    y, x = np.ogrid[:_TILE, :_TILE]
    offsets = np.ravel(y * padded_width + x)
    y, x = np.ogrid[:rows, :columns]
    corners = np.ravel(y * padded_width + x) * STEP
    indices = np.add.outer(offsets, corners)[:, np.newaxis] + images[:, np.newaxis] * (padded_height * padded_width)
    pixels = tf.gather(tf.reshape(padded, [-1, channels]), tf.reshape(indices, [-1]))
    pixels = tf.matmul(tf.constant(_FROM_PIXELS, padded.dtype), tf.reshape(pixels, [_TILE**2, -1]))

    _, blocks, _, at_once = weights.shape
    products = tf.matmul(tf.reshape(pixels, [_TILE**2, 1, -1, channels]), weights)
    results = tf.matmul(tf.constant(_TO_PIXELS, padded.dtype), tf.reshape(products, [_TILE**2, -1]))
    y, x, block = np.ogrid[:height, :width, :blocks]
    places = (y % STEP * STEP + x % STEP) * blocks + block
    corners = y // STEP * columns + x // STEP
    indices = places * tiles + corners + images[:, np.newaxis, np.newaxis, np.newaxis] * (rows * columns)
    results = tf.gather(tf.reshape(results, [-1, at_once]), tf.reshape(indices, [-1]))
    return tf.reshape(results, [-1, height, width, _filters(weights)])


def _filters(weights) -> int:
    return weights.shape[1] * weights.shape[3]


def _round_up(size: int) -> int:
    return -(-size // STEP) * STEP
