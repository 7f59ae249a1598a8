"""Computes the features of frozen parts once and caches them.

This needs few views per image: one, or two with the mirror image, if crops are not random or the crop is the whole
resized image.
"""
from __future__ import annotations

import numpy as np
import tensorflow as tf

from ornet_tf.data import image_store, main_memory, transforms
from ornet_tf.data.source import Source
from ornet_tf.errors import UserError
from ornet_tf.methods import Method
from ornet_tf.models import winograd

_BATCH = 8  # images; shallow features of larger batches would need more memory than training


def check_method(method: Method, where: str = "") -> None:
    """Checks that a method has features to cache.

    Args:
      method: the method.
      where: the config path of the phase, ending in a dot, for error messages.

    Raises:
      UserError: if the method has no frozen part, or its frozen part does not see the unchanged images.
    """
    if not hasattr(method, "frozen_features"):
        raise UserError(
            f"{where}cache_frozen_features: expected False, as this method has no frozen part that sees unmasked "
            "images, got True. Before stage two, options.freeze_lower = True and options.mask_probability = 0 allow it."
        )


class FrozenFeatures:
    """The outputs of `Method.frozen_features` for each view of each image, cached in memory."""

    def __init__(
        self,
        method: Method,
        source: Source,
        *,
        resize: int,
        crop: int,
        horizontal_flip: bool,
        random_crop: bool = True,
    ):
        """Computes the features.

        Args:
          method: the method; its frozen parts have their final weights.
          source: the training images.
          resize: side of the resized images, in pixels.
          crop: side of the crop, in pixels.
          horizontal_flip: whether images are mirrored at random.
          random_crop: whether crops are random or centred.

        Raises:
          UserError: if crops are random, the method has no features to cache, or there is not enough memory.
        """
        if random_crop and crop != resize:
            raise UserError(
                f"cache_frozen_features: expected random_crop = False or crop = resize, got random crops of {crop} of "
                f"{resize} pixels. Set cache_frozen_features or random_crop to False."
            )
        check_method(method)
        views = 2 if horizontal_flip else 1
        decode = image_store.decoder(source, side=resize)
        view = transforms.evaluation_view(resize=resize, crop=crop)

        def load_view(index):
            return transforms.apply(decode(index), view, resize=resize, crop=crop)

        batches = image_store.parallel_map(tf.data.Dataset.range(len(source)), load_view).batch(_BATCH)

        @tf.function(reduce_retracing=True)
        def compute(images):
            with winograd.enable():  # as in a training step
                features = [method.frozen_features(view) for view in (images, tf.reverse(images, [2]))[:views]]
            return tf.nest.map_structure(lambda *outputs: tf.stack(outputs, axis=1), *features)  # [b, V, ...]

        self._tables: dict[str, np.ndarray] = {}
        start = 0
        for batch in batches.prefetch(1):
            for name, values in compute(batch).items():
                if name not in self._tables:
                    self._tables[name] = main_memory.allocate(
                        (len(source), *values.shape[1:]), values.dtype.as_numpy_dtype,
                        what=f"cache_frozen_features: {name} of all images",
                        remedy="Set cache_frozen_features to False.",
                    )
                self._tables[name][start : start + len(batch)] = values.numpy()
            start += len(batch)
        self._tensors = {name: main_memory.as_tensor(table) for name, table in self._tables.items()}

    def lookup(self, index: tf.Tensor, mirrored: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the cached features of a batch.

        Args:
          index: int64 [b], the indices of the images.
          mirrored: bool [b].

        Returns:
          The outputs of `Method.frozen_features` for these views, [b, ...].
        """
        with tf.device("/CPU:0"):  # otherwise a GPU would get a copy of the tables in each step
            position = tf.stack([index, tf.cast(mirrored, tf.int64)], axis=1)
            return {name: tf.gather_nd(table, position) for name, table in self._tensors.items()}
