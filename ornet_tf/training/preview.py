"""What the network makes of a few fixed images while it is trained: maps, erased maps, masked images and boxes."""
from __future__ import annotations

import numpy as np
import tensorflow as tf

from ornet_tf import randomness
from ornet_tf.maps import boxes
from ornet_tf.methods import Method


class Preview:
    """Runs a method on fixed images, as in inference but erased and masked as in training, always in the same way."""

    def __init__(self, method: Method, images: np.ndarray, *, threshold: float, box_rule: str):
        """Keeps the images.

        Args:
          method: the method that is being trained.
          images: float32 [B, H, W, 3] in 0..255; B may be 0.
          threshold: of the boxes, on the map.
          box_rule: one of `boxes.RULES`.
        """
        self.images = images
        indices = tf.range(len(images), dtype=tf.int64)
        self._batch = {"image": tf.constant(images), "key": randomness.key(0, tf.constant(0, tf.int64), indices)}

        @tf.function
        def look(batch):
            outputs = method.forward(batch, training=False)
            if "activation_map" not in outputs:
                return {}
            seen = {key: outputs[key] for key in ("activation_map", "erased_map") if key in outputs}
            seen["boxes"] = boxes.find_boxes(outputs["activation_map"], tf.constant([threshold]), rule=box_rule)
            if "erased_map" in outputs:
                mask = tf.image.resize(outputs["erased_map"], images.shape[1:3])
                seen["masked_image"] = tf.saturate_cast(tf.round(batch["image"] * mask), tf.uint8)
            return seen

        self._look = look

    def outputs(self) -> dict[str, np.ndarray]:
        """Returns "activation_map", "erased_map" [B, h, w, 1], "masked_image" uint8 [B, H, W, 3] and "boxes" [B, 1, 4].

        A method has those that it makes; one without a map has none. Boxes are ymin xmin ymax xmax in fractions.
        """
        if not len(self.images):
            return {}
        return {key: value.numpy() for key, value in self._look(self._batch).items()}
