"""What frozen parts make of the training images, computed once: for phases in which the views of an image are few.

Where crops are not random, or the crop is the whole resized image, an image has one view, or two with its mirror
image.
"""
from __future__ import annotations

import numpy as np
import tensorflow as tf

from ornet_tf.data import image_store, main_memory, transforms
from ornet_tf.data.source import Source
from ornet_tf.errors import UserError
from ornet_tf.methods import Method
from ornet_tf.models import winograd

_BATCH = 8  # images at a time: shallow features of many would need more memory than training


def check(method: Method, where: str = "") -> None:
    """Raises UserError if nothing of a method can be kept; `where` is the path of what holds the option."""
    if not hasattr(method, "frozen_features"):
        raise UserError(
            f"{where}cache_frozen_features: this method has no frozen part that sees the images as they come. "
            "Set it to False or, before stage two, options.freeze_lower to True and options.mask_probability to 0."
        )


class FrozenFeatures:
    """The outputs of `Method.frozen_features` for each view of each image, in memory."""

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
        """Computes them.

        Args:
          method: the method; its frozen parts have the weights that they are going to keep.
          source: the training images.
          resize: side of the resized images, in pixels.
          crop: side of the crop, in pixels.
          horizontal_flip: whether images are mirrored at random.
          random_crop: whether crops lie anywhere, or in the centre.

        Raises:
          UserError: if crops differ from each other, the method has no frozen part, or memory does not suffice.
        """
        if random_crop and crop != resize:
            raise UserError(
                f"cache_frozen_features: expected random_crop = False or crop = resize, so that an image has "
                f"one or two views, got random crops of {crop} of {resize} pixels. "
                "Set cache_frozen_features or random_crop to False."
            )
        check(method)
        views = 2 if horizontal_flip else 1
        decode = image_store.decoder(source, side=resize)
        view = transforms.evaluation_view(resize=resize, crop=crop)

        def centre(index):
            return transforms.apply(decode(index), view, resize=resize, crop=crop)

        batches = image_store.parallel_map(tf.data.Dataset.range(len(source)), centre).batch(_BATCH)

        @tf.function(reduce_retracing=True)
        def compute(images):
            with winograd.enable():  # as in a training step
                seen = [method.frozen_features(some) for some in (images, tf.reverse(images, [2]))[:views]]
            return tf.nest.map_structure(lambda *outputs: tf.stack(outputs, axis=1), *seen)  # [b, V, ...]

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
        """Returns the outputs of a batch.

        Args:
          index: int64 [b], of the images.
          mirrored: bool [b].

        Returns:
          What `Method.frozen_features` returned for these views, [b, ...].
        """
        with tf.device("/CPU:0"):  # where the tables are: on a GPU they would be copied there in each step
            place = tf.stack([index, tf.cast(mirrored, tf.int64)], axis=1)
            return {name: tf.gather_nd(table, place) for name, table in self._tensors.items()}
