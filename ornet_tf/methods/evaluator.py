"""The evaluator: the classifier that is trained first, then frozen to judge masked images (paper, section 3.2)."""
from __future__ import annotations

import tensorflow as tf

from ornet_tf import randomness
from ornet_tf.errors import UserError
from ornet_tf.methods import Builders, LowLevel
from ornet_tf.models.variables import named_variables


class Method:
    """Trains backbone and head by cross-entropy on whole or, on request, randomly masked images.

    The paper trains on whole images. A small network that never saw a masked image judges masks badly, so a share
    of the images can be masked by random smooth blobs, whose place says nothing about the object.
    """

    def __init__(
        self,
        builders: Builders,
        *,
        freeze_lower: bool = False,
        mask_probability: float = 0.0,
        mask_cells: int = 4,
    ):
        """Builds the parts.

        Args:
          builders: see `Builders`.
          freeze_lower: whether `lower` keeps the weights that it starts from. Without masks, the phase's
            `cache_frozen_features` can then be set.
          mask_probability: share of training images that get a random mask, 0..1.
          mask_cells: the random field has this many cells along each side; fewer cells, larger blobs.

        Raises:
          UserError: if an option is out of range.
        """
        if not 0 <= mask_probability <= 1:
            raise UserError(f"mask_probability: expected 0..1, got {mask_probability}.")
        if mask_cells < 1:
            raise UserError(f"mask_cells: expected at least 1, got {mask_cells}.")
        normalize, lower, self._upper, _ = builders.backbone()
        self._low_level = LowLevel(normalize, lower, frozen=freeze_lower)
        if freeze_lower and not mask_probability:
            self.frozen = self._low_level.known
        self._mask_probability = mask_probability
        self._mask_cells = mask_cells
        self.parts = {"lower": lower, "upper": self._upper}
        self.trainable_variables = named_variables(self.parts)

    def forward(self, batch, *, training):
        """Returns "logits" [B, K]; where the batch has a "key" a share of the images is masked."""
        mask = None
        if "key" in batch and self._mask_probability > 0:
            mask = self._random_masks(batch["key"], *batch["image"].shape[1:3])
        features = self._low_level.features(batch, training=training, mask=mask)
        return {"logits": self._upper(features, training=training)["logits"]}

    def predict(self, images):
        """Returns "logits" [B, K]; a classifier alone has no activation map."""
        return self.forward({"image": images}, training=False)

    def _random_masks(self, keys, height, width):
        """Returns [B, H, W, 1] in 0..1: smooth blobs that keep a random share (1/8 to all) of each image."""
        field = randomness.uniform(keys, [self._mask_cells, self._mask_cells, 1], "evaluator/field")
        field = tf.image.resize(field, [height, width], method="bicubic")
        for_share, for_masking = tf.unstack(randomness.uniform(keys, [2], "evaluator/example"), axis=1)  # [B]
        share = 0.125 + (1.0 - 0.125) * for_share
        ranked = tf.sort(tf.reshape(field, [-1, height * width]), axis=-1, direction="DESCENDING")
        level = tf.gather(ranked, tf.cast(share * (height * width - 1), tf.int32), batch_dims=1)
        mask = tf.sigmoid((field - level[:, None, None, None]) * 40.0)
        return tf.where(for_masking[:, None, None, None] < self._mask_probability, mask, 1.0)
