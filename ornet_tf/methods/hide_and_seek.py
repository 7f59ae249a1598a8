"""Hide-and-Seek (Singh and Lee, ICCV 2017): a classifier trained on images with hidden patches, and its CAM."""
from __future__ import annotations

import numbers
from collections.abc import Sequence

import tensorflow as tf

from ornet_tf import randomness
from ornet_tf.errors import UserError
from ornet_tf.methods import Builders, cam
from ornet_tf.models.variables import named_variables


class Method(cam.Method):
    """Divides each training image into a grid of square patches and hides each patch at random (section 3.1).

    Hidden pixels take the mean colour, which is 0 after normalization, so that the first layer's outputs keep their
    distribution. Inference uses whole images, and the map is the CAM of the predicted class.
    """

    def __init__(
        self,
        builders: Builders,
        *,
        patch_sizes: Sequence[int] = (0, 16, 32, 44, 56),
        hide_probability: float = 0.5,
    ):
        """Builds the parts `lower` and `upper`; needs a `gap` head.

        Args:
          builders: see `Builders`.
          patch_sizes: sides of the patches in pixels of the cropped image; one is drawn for each image in each epoch.
            0 hides nothing. The default is the paper's mixture of sizes at 224 pixels; the paper also has each of
            these sizes alone. Patches at the right and lower edges may be cut off.
          hide_probability: probability of each patch to be hidden, 0..1; 0.5 in the paper.

        Raises:
          UserError: if an option is out of range, or the backbone's head doesn't allow CAM.
        """
        if not 0 <= hide_probability <= 1:
            raise UserError(f"hide_probability: expected 0..1, got {hide_probability!r}.")
        if not patch_sizes or any(not isinstance(size, numbers.Integral) or size < 0 for size in patch_sizes):
            raise UserError(f"patch_sizes: expected sides in whole pixels (0 for no patches), got {patch_sizes!r}.")
        super().__init__(builders)
        self._patch_sizes, self._hide_probability = tuple(patch_sizes), hide_probability
        self.trainable_variables = named_variables(self.parts)

    def forward(self, batch, *, training):
        """Returns "logits" [B, K] and, except in training, "activation_map". Patches are hidden if there is a "key"."""
        pixels = self._normalize(batch["image"])
        if "key" in batch:
            pixels *= self._visible_pixels(batch["key"], *pixels.shape[1:3])
        outputs = self._upper(self._lower(pixels, training=training), training=training)
        if training:
            return {"logits": outputs["logits"]}
        return self._map_and_logits(outputs)

    def _visible_pixels(self, keys, height: int, width: int):
        """Returns float32 [B, H, W, 1]: 0 in hidden patches, 1 elsewhere."""
        by_size = []
        for size in self._patch_sizes:
            cells = [-(-height // size), -(-width // size), 1] if size else [1, 1, 1]
            draws = randomness.uniform(keys, cells, f"hide_and_seek/{size}")
            visible = draws >= (self._hide_probability if size else 0)
            pixels = tf.repeat(tf.repeat(visible, size or height, axis=1), size or width, axis=2)
            by_size.append(tf.cast(pixels[:, :height, :width], tf.float32))
        count = len(by_size)
        drawn = tf.cast(randomness.uniform(keys, [], "hide_and_seek/size") * count, tf.int32)  # [B]
        drawn = tf.minimum(drawn, count - 1)  # rounding can give the product `count`
        chosen = tf.gather(tf.stack(by_size, axis=1), drawn, axis=1, batch_dims=1)
        return tf.ensure_shape(chosen, [None, height, width, 1])
