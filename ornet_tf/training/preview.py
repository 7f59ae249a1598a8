"""Maps, erased maps, masked images and boxes of a few fixed images, shown during training."""
from __future__ import annotations

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from ornet_tf import randomness
from ornet_tf.data import loading
from ornet_tf.data.source import Source
from ornet_tf.maps import boxes
from ornet_tf.methods import Method
from ornet_tf.models import winograd


class Preview:
    """Runs a method on fixed images in inference mode, but with erasing and masking, always with the same keys."""

    def __init__(self, method: Method, images: np.ndarray, *, threshold: float, box_rule: str,
                 kernels: winograd.MappedKernels):
        """Stores the images.

        Args:
          method: the method in training.
          images: float32 [B, H, W, 3] in 0..255; B may be 0.
          threshold: the threshold of the boxes on the map.
          box_rule: one of `boxes.RULES`.
          kernels: the mapped kernels of the training step, which the preview shares.
        """
        self.images = images
        indices = tf.range(len(images), dtype=tf.int64)
        self._batch = {"image": tf.constant(images), "key": randomness.key(0, tf.constant(0, tf.int64), indices)}

        @tf.function(autograph=False)
        def compute(batch):
            with winograd.enable(kernels):  # as in a training step
                outputs = method.forward(batch, training=False)
            if "activation_map" not in outputs:
                return {}
            shown = {key: outputs[key] for key in ("activation_map", "erased_map") if key in outputs}
            shown["boxes"] = boxes.find_boxes(outputs["activation_map"], tf.constant([threshold]), rule=box_rule)
            if "erased_map" in outputs:
                mask = tf.image.resize(outputs["erased_map"], images.shape[1:3])
                shown["masked_image"] = tf.saturate_cast(tf.round(batch["image"] * mask), tf.uint8)
            return shown

        self._compute = compute

    def outputs(self) -> dict[str, np.ndarray]:
        """Returns "activation_map", "erased_map" [B, h, w, 1], "masked_image" uint8 [B, H, W, 3] and "boxes" [B, 1, 4].

        Outputs that the method does not have are left out; without a map there are none. Boxes are ymin xmin ymax xmax
        in fractions.
        """
        if not len(self.images):
            return {}
        return {key: value.numpy() for key, value in self._compute(self._batch).items()}


def fixed_images(config: ConfigDict, source: Source) -> np.ndarray:
    """Returns evenly spaced images of the training split, cropped as in evaluation: float32 [n, C, C, 3] in 0..255."""
    count, crop = min(config.training.summary_images, len(source)), config.input.crop
    if not count:
        return np.zeros([0, crop, crop, 3], np.float32)
    chosen = source.select(np.linspace(0, len(source) - 1, count).astype(int))
    return np.concatenate([batch["image"] for batch in loading.evaluation_batches(config, chosen).as_numpy_iterator()])
