"""Decides which 3x3 convolutions use Winograd's filtering (`minimal_filtering`), and maps their kernels once.

On CPUs this is faster than TensorFlow's convolution if there are many channels. On GPUs cuDNN does it itself.
"""
from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import pathlib
import threading
import typing

import tensorflow as tf

from ornet_tf.models.minimal_filtering import STEP, filter_images, map_kernel, rotate


def _has_avx512() -> bool:
    try:
        return "avx512f" in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:  # not on Linux
        return False


# With 64 channels, transforming tiles takes as long as is saved (benchmarks/README.md).
MIN_CHANNELS = 128
# Matrix products with fewer rows wait for the mapped kernels, which are 4 times as large as the kernels. Without
# AVX-512, oneDNN even copies these before it multiplies.
MIN_TILES = 16 if _has_avx512() else 392

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
        values = (rotate(kernel) if for_gradient else kernel).numpy()
        digest = hashlib.sha256(repr(values.shape).encode() + values.tobytes()).digest()
        if digest not in self._by_digest:
            mapped = tf.cast(map_kernel(tf.constant(values)), tf.float32)
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
    """Returns whether `convolve` is enabled in this thread and likely to be faster than `tf.nn.conv2d`.

    If the number of images is not known yet, None, `convolve` decides it for each batch, except inside
    `enable` for gradients or without mapped kernels: there it counts as large.
    """
    mode = _mode()
    if not mode.for_cpu or trainable and not mode.in_inference:
        return False
    has_tiles = batch is None or batch * _tiles(height, width) >= MIN_TILES
    return min(channels, filters) >= MIN_CHANNELS and has_tiles


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
            return _filter_if_faster(images, weights, kernel)

    @tf.custom_gradient
    def compute(images):
        # Without dependencies the executor would map the kernels of all layers at once, in four times their memory.
        with tf.control_dependencies([images]):
            outputs = filter_images(images, map_kernel(kernel) if mapped is None else weights)

        def gradient(upstream):
            with tf.control_dependencies([upstream]):
                rotated = map_kernel(rotate(kernel)) if mapped is None else mapped.find(kernel, for_gradient=True)
                return filter_images(tf.ensure_shape(upstream, outputs.shape), tf.convert_to_tensor(rotated))

        return outputs, gradient

    return compute(images)


def _filter_if_faster(images, weights, kernel):
    """Filters a batch of unknown size, or convolves it if it is small; the graph then holds both kernels."""
    count, height, width, _ = images.shape
    tiles = _tiles(height, width)
    if count is not None or tiles >= MIN_TILES:
        return filter_images(images, weights)
    return tf.cond(
        tf.shape(images)[0] * tiles >= MIN_TILES,
        lambda: filter_images(images, weights),
        lambda: tf.nn.conv2d(images, tf.convert_to_tensor(kernel), strides=1, padding="SAME"),
    )


def _tiles(height: int, width: int) -> int:
    return -(-height // STEP) * -(-width // STEP)
