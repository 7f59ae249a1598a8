"""3x3 convolutions by Winograd's minimal filtering F(4x4, 3x3): a quarter of the multiplications of the plain sum.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, section 4.3. A tile of 6x6 pixels gives
4x4 results. Small matrices transform the pixels and the results; in between there are 36 matrix products over the
channels. On CPUs this is faster than TensorFlow's convolution if there are many channels. On GPUs cuDNN does it itself.
"""
from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import threading
import typing

import numpy as np
import tensorflow as tf

# With 64 channels, transforming tiles takes as long as is saved (benchmarks/README.md).
MIN_CHANNELS = 128
# Matrix products with fewer rows wait for the mapped kernels, which are 4 times as large as the kernels.
MIN_TILES = 16

_TILE, _STEP = 6, 4
_POINTS = (0.0, -np.sqrt(2), np.sqrt(2), -np.sqrt(0.5), np.sqrt(0.5))  # and infinity; 1, -1, 2, -2 round twice as much
_TILES_AT_ONCE = 196  # more do not fit the caches; for fewer, starting operations takes long
_FILTERS_AT_ONCE = 128  # oneDNN copies wider weights before it multiplies, up to a third of the time


def _minimal_filtering() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the matrices that map 6 pixels [6, 6], a kernel [6, 3], and the 6 products to 4 results [4, 6]."""
    from_pixels, from_kernel, to_pixels = (np.zeros([rows, _TILE]) for rows in (_TILE, 3, _STEP))
    for index, point in enumerate(_POINTS):
        others = [other for other in _POINTS if other != point]
        scale = abs(point) or 1.0
        from_pixels[index, :-1] = np.poly(others)[::-1] * scale / np.prod(np.subtract(point, others))
        from_kernel[:, index] = point ** np.arange(3) / scale
        to_pixels[:, index] = point ** np.arange(_STEP)
    from_pixels[-1] = np.poly(_POINTS)[::-1]
    from_kernel[-1, -1] = to_pixels[-1, -1] = 1
    return from_pixels, from_kernel.T, to_pixels


_FROM_PIXELS, _FROM_KERNEL, _TO_PIXELS = (np.kron(matrix, matrix) for matrix in _minimal_filtering())  # both axes
_state = threading.local()  # MirroredStrategy traces each replica in its own thread


class MappedKernels:
    """Kernels of frozen layers mapped once, as variables; kernels with equal values share one.

    Attributes:
      for_gradients: whether kernels are mapped for gradients with respect to images too, which doubles their memory.
        Otherwise these gradients are right, but slow.
      variables: the mapped kernels, float32, each 4 times the size of its kernel. Graphs read these instead of the
        kernels. An object that is saved with such a graph must track them.
    """

    def __init__(self, *, for_gradients: bool = False):
        """Starts without kernels; `convolve` adds them inside `enable(mapped)`, those for gradients in the gradient."""
        self.for_gradients = for_gradients
        self.variables: list[tf.Variable] = []
        self._by_digest: dict[bytes, tf.Variable] = {}

    @tf.autograph.experimental.do_not_convert  # which would warn about the thread
    def find(self, kernel, *, for_gradient: bool = False) -> tf.Variable:
        """Returns the mapped kernel of an eager tensor or variable [3, 3, C, K]; later changes to it have no effect."""
        # A new thread has no graph that is being traced, and no replica, which would have to wait for the others.
        with concurrent.futures.ThreadPoolExecutor(1) as thread:
            return thread.submit(self._find, kernel, for_gradient).result()

    def _find(self, kernel, for_gradient: bool) -> tf.Variable:
        kernel = tf.cast(kernel, tf.float64)  # this precision costs nothing here
        values = (_rotate(kernel) if for_gradient else kernel).numpy()
        digest = hashlib.sha256(repr(values.shape).encode() + values.tobytes()).digest()
        if digest not in self._by_digest:
            mapped = tf.cast(_map(tf.constant(values)), tf.float32)
            self._by_digest[digest] = tf.Variable(mapped, trainable=False, name="mapped_kernel")
            self.variables.append(self._by_digest[digest])
        return self._by_digest[digest]


class _Mode(typing.NamedTuple):
    """Where `convolve` is used, with the arguments of `enable`."""

    for_cpu: bool = False
    mapped: MappedKernels | None = None
    in_inference: bool = False


def _mode() -> _Mode:
    return getattr(_state, "mode", _Mode())


@contextlib.contextmanager
def enable(mapped: MappedKernels | None = None, *, for_cpu: bool | None = None, in_inference: bool = False):
    """Lets frozen `layers.Conv3x3` layers that are called inside use `convolve` where it is faster.

    Args:
      mapped: where mapped kernels are found, or added if they are missing. None maps kernels in each run: their values
        may change between runs.
      for_cpu: whether the layers will run on CPUs; on GPUs nothing is enabled. None: whether this process has no GPU.
      in_inference: whether trainable layers count as frozen, too.
    """
    if for_cpu is None:
        for_cpu = not tf.config.list_logical_devices("GPU")
    before = _mode()
    _state.mode = _Mode(for_cpu, mapped, in_inference)
    try:
        yield
    finally:
        _state.mode = before


def is_faster(
    height: int, width: int, channels: int, filters: int, batch: int | None = None, *, trainable: bool = False
) -> bool:
    """Returns whether `convolve` is enabled in this thread and likely to be faster than `tf.nn.conv2d`."""
    mode = _mode()
    if not mode.for_cpu or trainable and not mode.in_inference:
        return False
    tiles = (batch or 1) * _round_up(height) * _round_up(width) // _STEP**2
    return min(channels, filters) >= MIN_CHANNELS and tiles >= MIN_TILES


def convolve(images: tf.Tensor, kernel) -> tf.Tensor:
    """Computes `tf.nn.conv2d` with stride 1 and padding SAME, up to rounding errors of about 3e-6 of the largest value.

    Only the images get a gradient; the kernel counts as a constant.

    Args:
      images: float32 [B, H, W, C]; H, W and C must be static.
      kernel: float32 [3, 3, C, K]; inside `enable(mapped)` a variable or an eager tensor.

    Returns:
      float32 [B, H, W, K].
    """
    mapped = _mode().mapped
    if mapped is None:
        kernel = tf.stop_gradient(kernel)
    else:
        weights = tf.convert_to_tensor(mapped.find(kernel))
        if not mapped.for_gradients:
            return _filter(images, weights)

    @tf.custom_gradient
    def compute(images):
        # Without dependencies the executor would map the kernels of all layers at once, in four times their memory.
        with tf.control_dependencies([images]):
            outputs = _filter(images, _map(kernel) if mapped is None else weights)

        def gradient(upstream):
            with tf.control_dependencies([upstream]):
                rotated = _map(_rotate(kernel)) if mapped is None else mapped.find(kernel, for_gradient=True)
                return _filter(tf.ensure_shape(upstream, outputs.shape), tf.convert_to_tensor(rotated))

        return outputs, gradient

    return compute(images)


def _rotate(kernel):
    """Returns the kernel of the gradient: rotated by 180 degrees, the two channel axes exchanged."""
    return tf.transpose(tf.reverse(kernel, [0, 1]), [0, 1, 3, 2])


def _map(kernel):
    """Maps kernels [3, 3, C, K] to [36, K / k, C, k] for the k filters that are multiplied at once."""
    channels, filters = kernel.shape[2:]
    at_once = _FILTERS_AT_ONCE if filters % _FILTERS_AT_ONCE == 0 else filters
    blocks = tf.transpose(tf.reshape(kernel, [9, channels, -1, at_once]), [0, 2, 1, 3])
    mapped = tf.matmul(tf.constant(_FROM_KERNEL, kernel.dtype), tf.reshape(blocks, [9, channels * filters]))
    return tf.reshape(mapped, [_TILE**2, filters // at_once, channels, at_once])


def _filter(images, weights):
    """Filters groups of tiles one after the other, because transformed tiles need 2.25 times the memory of the images.

    A group is a strip of an image, or several images.
    """
    count, height, width, channels = images.shape
    strips, images_at_once = _groups(height, width)
    strip_height, rows = height // strips, tf.reshape(images, [-1, width, channels])
    padded_height, padded_width = (_round_up(size) + _TILE - _STEP for size in (strip_height, width))

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
    rows, columns = _round_up(height) // _STEP, _round_up(width) // _STEP
    rows_at_once = max(1, _TILES_AT_ONCE // columns)
    if height % _STEP or rows_at_once >= rows:
        return 1, max(1, rows_at_once // rows)
    return next(n for n in range(1, rows + 1) if rows % n == 0 and rows // n <= rows_at_once), 1


def _filter_group(padded, weights, height: int, width: int):
    """Filters zero-padded images [n, 4 r + 2, 4 c + 2, C], which have r x c tiles each: [n, height, width, K]."""
    count, padded_height, padded_width, channels = padded.shape
    images = np.arange(count) if count else tf.range(tf.shape(padded)[0])
    rows, columns = padded_height // _STEP, padded_width // _STEP
    tiles = (count or tf.shape(padded)[0]) * rows * columns

    # A single gather cuts tiles and puts their 36 positions first, another one puts the results in their places.
    # Slices, transpositions and concatenations would need more passes over the data.
    y, x = np.ogrid[:_TILE, :_TILE]
    offsets = np.ravel(y * padded_width + x)
    y, x = np.ogrid[:rows, :columns]
    corners = np.ravel(y * padded_width + x) * _STEP
    indices = np.add.outer(offsets, corners)[:, np.newaxis] + images[:, np.newaxis] * (padded_height * padded_width)
    pixels = tf.gather(tf.reshape(padded, [-1, channels]), tf.reshape(indices, [-1]))
    pixels = tf.matmul(tf.constant(_FROM_PIXELS, padded.dtype), tf.reshape(pixels, [_TILE**2, -1]))

    _, blocks, _, at_once = weights.shape
    products = tf.matmul(tf.reshape(pixels, [_TILE**2, 1, -1, channels]), weights)
    results = tf.matmul(tf.constant(_TO_PIXELS, padded.dtype), tf.reshape(products, [_TILE**2, -1]))
    y, x, block = np.ogrid[:height, :width, :blocks]
    places = (y % _STEP * _STEP + x % _STEP) * blocks + block
    corners = y // _STEP * columns + x // _STEP
    indices = places * tiles + corners + images[:, np.newaxis, np.newaxis, np.newaxis] * (rows * columns)
    results = tf.gather(tf.reshape(results, [-1, at_once]), tf.reshape(indices, [-1]))
    return tf.reshape(results, [-1, height, width, _filters(weights)])


def _filters(weights) -> int:
    return weights.shape[1] * weights.shape[3]


def _round_up(size: int) -> int:
    return -(-size // _STEP) * _STEP
