"""From a `Source` to batches: checks the images, then reads, decodes, resizes, crops and batches them with tf.data.

Training batches are a pure function of the seed and the global step: the order is a function of (seed, epoch), the
augmentation of (seed, epoch, index). A run that starts at step k sees what an uninterrupted run sees from step k on,
whatever the number of threads; no iterator state is kept in checkpoints (a distributed iterator has none).
"""
from __future__ import annotations

import operator
import typing
from collections.abc import Callable

import tensorflow as tf
from absl import logging

from ornet_tf import randomness
from ornet_tf.data import decoding, image_cache, image_store, main_memory, transforms
from ornet_tf.data.source import Source
from ornet_tf.errors import UserError

BROKEN_IMAGES = ("stop", "skip")


class Share(typing.NamedTuple):
    """The part of each global batch that one process reads.

    Attributes:
      first: the number of its first replica.
      local: how many replicas it has.
      total: how many replicas all processes have.
    """

    first: int = 0
    local: int = 1
    total: int = 1


ALL = Share()


def check(source: Source) -> list[tuple[str, str]]:
    """Reads and decodes every image of a source, in parallel.

    Returns:
      (name, reason) of each image that cannot be used, in the order of the source.
    """
    return image_store.measure(source).broken


def keep_usable(source: Source, *, broken_images: str, broken: list[tuple[str, str]] | None = None) -> Source:
    """Checks every image of a source before work begins.

    Args:
      source: the images.
      broken_images: "stop" or "skip".
      broken: what `check` has found, if it has been called already.

    Returns:
      The source itself if every image can be used; with "skip", else, a source without the broken ones.

    Raises:
      UserError: with "stop", if images are broken: the message lists all of them; with "skip", if none is left.
    """
    if broken_images not in BROKEN_IMAGES:
        raise ValueError(f"broken_images must be one of {', '.join(BROKEN_IMAGES)}; got {broken_images!r}.")
    broken = check(source) if broken is None else broken
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
    """Returns the number of whole batches in a source; the rest of an epoch is dropped, another rest in each epoch.

    Raises:
      ValueError: unless 1 <= batch_size <= number of images.
    """
    if not 1 <= batch_size <= len(source):
        raise ValueError(f"batch_size must lie in 1..{len(source)}, the number of images; got {batch_size}.")
    return len(source) // batch_size


def training_batches(source: Source, *, batch_size: int, seed: int, resize: int, crop: int, horizontal_flip: bool,
                     random_crop: bool = True, cache: str = "none", cache_dir: str = "", first_step: int = 0,
                     share: Share = ALL) -> tf.data.Dataset:
    """Makes the endless sequence of a process's training batches, from a global step on.

    Row i of the global batch of B examples belongs to replica i // (B / total). The sequence holds, for each step, the
    part of each of the process's replicas in turn; what other processes train on is not read.

    Args:
      source: the images; boxes are not read.
      batch_size: B, over all replicas.
      seed: 0..2^31-1; order and augmentation are functions of it.
      resize: R, side in pixels to which images are resized.
      crop: C, side in pixels of the crop.
      horizontal_flip: whether to mirror half of the images.
      random_crop: whether crops lie anywhere, or in the centre.
      cache: where every image is kept, decoded and resized (3 R^2 bytes each): "none" (nowhere), "memory", "disk", or
        "auto" (memory where they need a quarter of what is free at most). The batches are the same either way.
      cache_dir: folder of "disk".
      first_step: the global step of the first batch; steps before it cost nothing.
      share: the process's part of each batch.

    Returns:
      A dataset of {"image": float32 [b, C, C, 3] in 0..255, "mirrored": bool [b], "label": int32 [b], "index": int64
      [b], "key": int64 [b, 2]} with b = B / total; see `randomness.key`.

    Raises:
      UserError: if memory or disk do not suffice for the cache.
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
    image = _images(source, resize, cache, cache_dir)
    labels = main_memory.constant(source.labels, tf.int32)

    def place(number, row):
        """Returns epoch and index of a row of the process's batch with this number, counted over its replicas."""
        step, replica = number // share.local, share.first + number % share.local
        position = step % steps * batch_size + replica * part + row
        last = tf.constant(len(source) - 1, tf.int64)
        order = tf.stack([tf.constant(seed, tf.int64), step // steps])
        return step // steps, tf.random.experimental.index_shuffle(position, order, last)

    def view_of(key, index):
        view = transforms.training_view(
            randomness.in_stream(key, "view"), resize=resize, crop=crop, horizontal_flip=horizontal_flip,
            random_crop=random_crop,
        )
        return {"image": transforms.apply(image(index), view, resize=resize, crop=crop), "mirrored": view.flip}

    def example(number):
        epoch, index = place(number // part, number % part)
        key = randomness.key(seed, epoch, index)
        return {**view_of(key, index), "label": labels[index], "index": index, "key": key}

    def batch(number):
        epoch, indices = place(number, tf.range(part, dtype=tf.int64))
        keys = randomness.key(seed, epoch, indices)
        signature = {"image": tf.TensorSpec([crop, crop, 3], tf.float32), "mirrored": tf.TensorSpec([], tf.bool)}
        views = tf.map_fn(lambda one: view_of(*one), (keys, indices), fn_output_signature=signature)
        return {**views, "label": tf.gather(labels, indices), "index": indices, "key": keys}

    if cache != "none":
        # Whole batches in one call: about three times as fast as one dataset element per image.
        dataset = image_store.parallel_map(tf.data.Dataset.range(first_step * share.local, tf.int64.max), batch)
    else:
        numbers = tf.data.Dataset.range(first_step * share.local * part, tf.int64.max)
        dataset = image_store.parallel_map(numbers, example)
        dataset = dataset.batch(part, drop_remainder=True)
    return with_prefetch(dataset)


def with_prefetch(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Returns the data set of batches with what all of them need: a fixed order, and work ahead."""
    options = tf.data.Options()
    options.deterministic = True
    # They copy captured tensors: a cache in memory would be there twice, one on disk would be read into memory whole.
    options.experimental_optimization.apply_default_optimizations = False
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)


def _images(source: Source, resize: int, cache: str, cache_dir: str) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns the function from an image's index to uint8 [H, W, 3]: as it is decoded, or resized already."""
    if cache == "none":
        read = image_store.reader(source)
        return lambda index: decoding.decode(read(index))  # a view is resized alone, not the whole image
    try:
        return image_cache.open_cache(source, side=resize, kind=cache, folder=cache_dir)
    except tf.errors.OpError as error:
        if broken := check(source):
            raise UserError(_report(broken, source)) from error
        raise


def _report(broken: list[tuple[str, str]], source: Source) -> str:
    """Lists broken images, one a line."""
    lines = "".join(f"\n  {name}: {why}" for name, why in broken)
    return f"{len(broken)} of {len(source)} images cannot be used:{lines}"
