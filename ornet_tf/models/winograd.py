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

import numpy as np
import tensorflow as tf

# Measured with 128 and 256 channels (benchmarks/README.md); with fewer, transforming tiles takes a larger share.
MIN_CHANNELS = 128
# Matrix products with fewer rows wait for the mapped kernels, which are 4 times as large as the kernels.
MIN_TILES = 16

_TILE, _STEP = 6, 4
_TILES_AT_ONCE = 196
# Their reciprocals are among them, and rounding errors are half of those with 0, 1, -1, 2, -2 and infinity.
_POINTS = (0.0, -np.sqrt(2), np.sqrt(2), -np.sqrt(0.5), np.sqrt(0.5))  # and infinity


def _minimal_filtering() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the matrices that map 6 pixels [6, 6], a kernel [6, 3], and 6 products to the 4 results [4, 6].

    A kernel mapped at p is scaled by 1 / |p|, so that reversing it exchanges its values at p and 1 / p.
    """
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


_FROM_PIXELS, _FROM_KERNEL, _TO_PIXELS = _minimal_filtering()
_ROTATED = [5, 3, 4, 1, 2, 0]  # the places of 1 / p
_state = threading.local()  # MirroredStrategy traces each replica in its own thread
_DISABLED = (False, None, False)


class MappedKernels:
    """Kernels of frozen layers mapped once, as variables; kernels with equal values share one.

    Attributes:
      variables: the mapped kernels, float32 [36, C, K] each, 4 times the size of the kernels. A graph that uses them
        does not read the kernels; an object that is saved with such a graph must track them.
    """

    def __init__(self):
        """Starts without kernels; `convolve` adds them inside `enable(mapped)`."""
        self.variables: list[tf.Variable] = []
        self._by_digest: dict[bytes, tf.Variable] = {}

    @tf.autograph.experimental.do_not_convert  # which would warn about the thread
    def find(self, kernel) -> tf.Variable:
        """Returns the mapped kernel of an eager tensor or variable [3, 3, C, K]; later changes to it have no effect."""
        # A new thread has no graph that is being traced, and no replica, which would have to wait for the others.
        with concurrent.futures.ThreadPoolExecutor(1) as thread:
            return thread.submit(self._find, kernel).result()

    def _find(self, kernel) -> tf.Variable:
        values = tf.convert_to_tensor(kernel).numpy()
        digest = hashlib.sha256(repr(values.shape).encode() + values.tobytes()).digest()
        if digest not in self._by_digest:
            # In float64 and rounded once, because this costs nothing.
            mapped = tf.cast(_map(tf.constant(values, tf.float64)), tf.float32)
            self._by_digest[digest] = tf.Variable(mapped, trainable=False, name="mapped_kernel")
            self.variables.append(self._by_digest[digest])
        return self._by_digest[digest]


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
    before = getattr(_state, "enabled", _DISABLED)
    _state.enabled = for_cpu, mapped, in_inference
    try:
        yield
    finally:
        _state.enabled = before


def is_faster(
    height: int, width: int, channels: int, filters: int, batch: int | None = None, *, trainable: bool = False
) -> bool:
    """Returns whether `convolve` is enabled in this thread and likely to be faster than `tf.nn.conv2d`."""
    is_enabled, _, in_inference = getattr(_state, "enabled", _DISABLED)
    if not is_enabled or trainable and not in_inference:
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
    _, mapped, _ = getattr(_state, "enabled", _DISABLED)
    kernel = tf.stop_gradient(kernel if mapped is None else mapped.find(kernel))

    @tf.custom_gradient
    def compute(images):
        outputs = _filter(images, kernel, is_gradient=False)

        def gradient(upstream):
            return _filter(tf.ensure_shape(upstream, outputs.shape), kernel, is_gradient=True)

        return outputs, gradient

    return compute(images)


def _map(kernel):
    """Maps kernels [3, 3, C, K] to [36, C, K]."""
    channels, filters = kernel.shape[2:]
    mapping = tf.constant(np.kron(_FROM_KERNEL, _FROM_KERNEL), kernel.dtype)
    mapped = tf.matmul(mapping, tf.reshape(kernel, [9, channels * filters]))
    return tf.reshape(mapped, [_TILE**2, channels, filters])


def _filter(images, kernel, *, is_gradient: bool):
    """Filters groups of tiles one after the other, because transformed tiles need 2.25 times the memory of the images.

    A group is a strip of an image, or several images.
    """
    # Without this dependency the executor transforms the kernels of all layers at once, in four times their memory.
    with tf.control_dependencies([images]):
        kernel = tf.identity(kernel)
    weights = kernel if kernel.shape.rank == 3 else _map(kernel)
    count, height, width, channels = images.shape
    filters = weights.shape[1 if is_gradient else 2]
    strips, images_at_once = _groups(height, width, channels, filters)
    strip_height, rows = height // strips, tf.reshape(images, [-1, width, channels])

    def filter_group(index):
        image, top = index // strips * images_at_once, index % strips * strip_height
        first, last = tf.maximum(top - 1, 0), tf.minimum(top + strip_height + 1, height)
        group = rows[image * height + first : (image + images_at_once - 1) * height + last]
        group = tf.reshape(group, [1 if images_at_once == 1 else -1, last - first, width, channels])
        before, padded = first - (top - 1), [_round_up(size) + _TILE - _STEP for size in (strip_height, width)]
        after = padded[0] - before - (last - first)
        group = tf.pad(group, [[0, 0], [before, after], [1, padded[1] - 1 - width], [0, 0]])
        group = tf.reshape(group, [1 if images_at_once == 1 else -1, *padded, channels])
        return _filter_group(group, weights, strip_height, width, is_gradient)

    count = tf.shape(images)[0] if count is None else count
    groups = -(-count // images_at_once) * strips
    if isinstance(groups, int) and groups == 1:
        return filter_group(0)
    results = tf.TensorArray(images.dtype, groups, element_shape=[None, strip_height, width, filters])
    _, results = tf.while_loop(
        lambda index, results: index < groups,
        lambda index, results: (index + 1, results.write(index, filter_group(index))),
        [0, results], parallel_iterations=1,
    )
    return tf.reshape(results.concat(), [-1, height, width, filters])


def _groups(height: int, width: int, channels: int, filters: int) -> tuple[int, int]:
    """Returns into how many strips an image is cut, and how many images are filtered at once (1 if strips > 1)."""
    rows, columns = _round_up(height) // _STEP, _round_up(width) // _STEP
    rows_at_once = max(1, _TILES_AT_ONCE // columns)
    if height % _STEP or rows_at_once >= rows:
        return 1, max(1, rows_at_once // rows)
    return next(n for n in range(1, rows + 1) if rows % n == 0 and rows // n <= rows_at_once), 1


def _filter_group(padded, weights, height: int, width: int, is_gradient: bool):
    """Filters zero-padded images [n, 4 r + 2, 4 c + 2, C] that have r x c tiles: [n, height, width, K]."""
    count, (padded_height, padded_width, channels) = padded.shape[0], padded.shape[1:]
    images = tf.range(tf.shape(padded)[0]) if count is None else np.arange(count)
    count = tf.shape(padded)[0] if count is None else count
    rows, columns = padded_height // _STEP, padded_width // _STEP
    order = _ROTATED if is_gradient else np.arange(_TILE)
    from_pixels, to_pixels = _both_axes(_FROM_PIXELS[order]), _both_axes(_TO_PIXELS[:, order])

    # One gather cuts tiles and puts positions first; another one puts the results in their places. Slices,
    # transpositions and concatenations would do it in more passes over the data.
    y, x = np.ogrid[:_TILE, :_TILE]
    offsets = np.ravel(y * padded_width + x)
    y, x = np.ogrid[:rows, :columns]
    corners = np.ravel(y * padded_width + x) * _STEP
    indices = np.add.outer(offsets, corners)[:, None] + (images * padded_height * padded_width)[:, None]
    pixels = tf.gather(tf.reshape(padded, [-1, channels]), tf.reshape(indices, [-1]))
    pixels = tf.matmul(from_pixels, tf.reshape(pixels, [_TILE**2, -1]))
    products = tf.matmul(tf.reshape(pixels, [_TILE**2, -1, channels]), weights, transpose_b=is_gradient)
    filters = products.shape[-1]
    results = tf.matmul(to_pixels, tf.reshape(products, [_TILE**2, -1]))
    y, x = np.ogrid[:height, :width]
    positions, tiles = y % _STEP * _STEP + x % _STEP, y // _STEP * columns + x // _STEP
    indices = (positions * count + images[:, None, None]) * (rows * columns) + tiles
    results = tf.gather(tf.reshape(results, [-1, filters]), tf.reshape(indices, [-1]))
    return tf.reshape(results, [-1, height, width, filters])


def _round_up(size: int) -> int:
    return -(-size // _STEP) * _STEP


def _both_axes(matrix: np.ndarray) -> np.ndarray:
    """Returns the matrix that applies `matrix` to both axes of a flattened square."""
    return np.kron(matrix, matrix).astype(np.float32)
