"""Makes training batches of a `Source`: reads, decodes, resizes, crops and batches its images with tf.data.

Training batches are a pure function of the seed and the global step: the order is a function of (seed, epoch), the
augmentation of (seed, epoch, index). A run that resumes at step k gets the same batches as an uninterrupted run,
whatever the number of threads. Checkpoints hold no iterator state (a distributed iterator has none).
"""
from __future__ import annotations

import operator
import typing
from collections.abc import Callable

import tensorflow as tf
from absl import logging

from ornet_tf import randomness
from ornet_tf.data import decoding, image_cache, image_store, main_memory, reading_order, transforms
from ornet_tf.data.source import Record, Source
from ornet_tf.errors import UserError

BROKEN_IMAGES = ("stop", "skip")


class Share(typing.NamedTuple):
    """The part of each global batch that one process reads.

    Attributes:
      first: the number of the first replica of the process.
      local: the number of replicas of the process.
      total: the number of replicas of all processes.
    """

    first: int = 0
    local: int = 1
    total: int = 1


ALL = Share()


def keep_usable(source: Source, broken: list[tuple[str, str]], *, broken_images: str) -> Source:
    """Refuses or leaves out broken images.

    Args:
      source: the images.
      broken: (name, reason) of each broken image, see `image_store.measure`.
      broken_images: "stop" or "skip".

    Returns:
      The source itself if no image is broken; else, with "skip", a source without the broken images.

    Raises:
      UserError: with "stop", if images are broken: the message lists all of them; with "skip", if no image is left.
      ValueError: if `broken_images` is neither.
    """
    if broken_images not in BROKEN_IMAGES:
        raise ValueError(f"broken_images must be one of {', '.join(BROKEN_IMAGES)}; got {broken_images!r}.")
    if not broken:
        return source
    if broken_images == "stop":
        raise UserError(
            f"{_report(broken, source)}\n"
            "Repair or remove them, or leave them out with --config.input.broken_images=skip."
        )
    if len(broken) == len(source):
        raise UserError(f"No usable image is left. {_report(broken, source)}")
    logging.warning("Leaving out broken images. %s", _report(broken, source))
    names = {name for name, _ in broken}
    return source.select([index for index, name in enumerate(source.names) if name not in names])


def steps_per_epoch(source: Source, batch_size: int) -> int:
    """Returns the number of full batches in an epoch. The remaining images are dropped; they differ between epochs.

    Raises:
      ValueError: unless 1 <= batch_size <= number of images.
    """
    if not 1 <= batch_size <= len(source):
        raise ValueError(f"batch_size must lie in 1..{len(source)}, the number of images; got {batch_size}.")
    return len(source) // batch_size


def training_batches(source: Source, *, batch_size: int, seed: int, resize: int, crop: int, horizontal_flip: bool,
                     random_crop: bool = True, cache: str = "none", cache_dir: str = "", first_step: int = 0,
                     share: Share = ALL) -> tf.data.Dataset:
    """Makes the endless sequence of the training batches of a process, from a global step on.

    Row i of the global batch of B examples belongs to replica i // (B / total). For each step, the sequence holds one
    batch for each replica of the process. Images of other processes are not read.

    Args:
      source: the images; boxes are not read.
      batch_size: B, over all replicas.
      seed: 0..2^31-1; order and augmentation are functions of it.
      resize: R, side in pixels to which images are resized.
      crop: C, side in pixels of the crop.
      horizontal_flip: whether to mirror images with probability 0.5.
      random_crop: True for crops at random places, False for centre crops.
      cache: where decoded and resized images are cached (3 R^2 bytes each): "none", "memory", "disk" or "auto", see
        `image_cache.choose_kind`. The batches are the same with any cache.
      cache_dir: folder of the cache "disk".
      first_step: the global step of the first batch; the images of earlier steps are not read.
      share: the part of the process in each batch.

    Returns:
      A dataset of {"image": float32 [b, C, C, 3] in 0..255, "mirrored": bool [b], "label": int32 [b], "index": int64
      [b], "key": int64 [b, 2]} with b = B / total; see `randomness.key`.

    Raises:
      UserError: if memory or disk have no room for the cache, or an image that goes into it is broken.
      ValueError: if an argument is out of range.
      OSError: if the cache can't be written.
    """
    transforms.check_sizes(resize=resize, crop=crop)
    steps = steps_per_epoch(source, batch_size)
    if not 0 <= operator.index(seed) < 2**31:
        raise ValueError(f"seed must lie in 0..2^31-1; got {seed}.")
    if operator.index(first_step) < 0:
        raise ValueError(f"first_step must not be negative; got {first_step}.")
    if share.local < 1 or not 0 <= share.first <= share.total - share.local or batch_size % share.total:
        raise ValueError(f"batch_size must be a multiple of the {share.total} replicas; got {batch_size} and {share}.")
    part, cache = batch_size // share.total, image_cache.choose_kind(cache, source, side=resize)
    load_image = image_loader(source, resize, cache, cache_dir)
    labels, order = main_memory.constant(source.labels, tf.int32), reading_order.make(source, seed)

    def epoch_and_index(number, row):
        """Returns the epoch and the index of the image in a row of the batch with this number in the sequence."""
        step, replica = number // share.local, share.first + number % share.local
        position = step % steps * batch_size + replica * part + row
        epoch = tf.zeros_like(position) + step // steps
        return epoch, order(epoch, position)

    def make_view(key, index):
        view = transforms.training_view(
            randomness.derive_keys(key, "view"), resize=resize, crop=crop, horizontal_flip=horizontal_flip,
            random_crop=random_crop,
        )
        image, frame = load_image(index)
        image = transforms.apply(image, view, resize=resize, crop=crop, frame=frame)
        return {"image": image, "mirrored": view.flip}

    def make_example(number):
        epoch, index = epoch_and_index(number // part, number % part)
        key = randomness.key(seed, epoch, index)
        return {**make_view(key, index), "label": labels[index], "index": index, "key": key}

    def make_batch(number):
        epoch, indices = epoch_and_index(number, tf.range(part, dtype=tf.int64))
        keys = randomness.key(seed, epoch, indices)
        signature = {"image": tf.TensorSpec([crop, crop, 3], tf.float32), "mirrored": tf.TensorSpec([], tf.bool)}
        views = tf.map_fn(lambda pair: make_view(*pair), (keys, indices), fn_output_signature=signature)
        return {**views, "label": tf.gather(labels, indices), "index": indices, "key": keys}

    if cache != "none":
        # One call for a whole batch is about three times as fast as one dataset element per image.
        dataset = image_store.parallel_map(tf.data.Dataset.range(first_step * share.local, tf.int64.max), make_batch)
    else:
        first = first_step * share.local * part
        numbers = tf.data.Dataset.range(first, tf.int64.max)
        if isinstance(source.images[0], Record):
            numbers = reading_order.read_ahead(
                source, first, lambda numbers: epoch_and_index(numbers // part, numbers % part)[1]
            )
        dataset = image_store.parallel_map(numbers, make_example)
        dataset = dataset.batch(part, drop_remainder=True)
    return with_prefetch(dataset)


def with_prefetch(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Returns the dataset of batches with a deterministic order and prefetching."""
    options = tf.data.Options()
    options.deterministic = True
    # These optimizations copy captured tensors: they would duplicate a cache in memory, and load all of one on disk.
    options.experimental_optimization.apply_default_optimizations = False
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)


def image_loader(
    source: Source, resize: int, cache: str, cache_dir: str
) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor | None]]:
    """Returns the function from an image's index to pixels and frame, cached or of `decoding.decode_scaled`.

    Args:
      source: the images.
      resize: side of the cached images, in pixels.
      cache: the kind of the cache, as `image_cache.choose_kind` returns it.
      cache_dir: the folder of the cache "disk".

    Raises:
      UserError: if memory or disk have no room for the cache, or an image that goes into it is broken.
      OSError: if the cache can't be written.
    """
    if cache == "none":
        read = image_store.reader(source)
        # `transforms.apply` resizes only the view.
        return lambda index: decoding.decode_scaled(read(index), target_side=resize)
    try:
        cached = image_cache.open_cache(source, side=resize, kind=cache, folder=cache_dir)
    except tf.errors.OpError as error:
        if broken := image_store.measure(source).broken:
            raise UserError(_report(broken, source)) from error
        raise
    return lambda index: (cached(index), None)


def _report(broken: list[tuple[str, str]], source: Source) -> str:
    """Lists broken images, one per line."""
    lines = "".join(f"\n  {name}: {reason}" for name, reason in broken)
    return f"{len(broken)} of {len(source)} images cannot be used:{lines}"
