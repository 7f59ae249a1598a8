"""The evaluator: a classifier that is trained first and then frozen to classify masked images (paper, section 3.2)."""
from __future__ import annotations

import contextlib

import tensorflow as tf

from ornet_tf import randomness
from ornet_tf.compat import keras
from ornet_tf.errors import UserError
from ornet_tf.methods import Builders, FeatureExtractor, FrozenFeature
from ornet_tf.models import layers, shared_passes
from ornet_tf.models.variables import named_variables

# Masks are ranked on at least so many rows and columns, if the images have them: 1 % of the share that is kept.
_RANKED_SIDE = 16


class Method:
    """Trains backbone and head on whole images or, optionally, on randomly masked ones.

    A small network that was never trained on masked images classifies them badly.
    A share of the training images can therefore be masked by random smooth blobs, which are independent of the object.
    """

    def __init__(
        self,
        builders: Builders,
        *,
        freeze_lower: bool = False,
        mask_probability: float = 0.0,
        mask_cells: int = 4,
    ):
        """Builds the parts `lower` and `upper`.

        Args:
          builders: see `Builders`.
          freeze_lower: whether `lower` keeps its start weights. Then the phase may set `cache_frozen_features`, if
            there are no masks.
          mask_probability: share of the training images that get a random mask, 0..1.
          mask_cells: cells of the random field along each side; fewer cells give larger blobs.

        Raises:
          UserError: if an option is out of range.
        """
        if not 0 <= mask_probability <= 1:
            raise UserError(f"mask_probability: expected 0..1, got {mask_probability}.")
        if mask_cells < 1:
            raise UserError(f"mask_cells: expected at least 1, got {mask_cells}.")
        normalize, lower, self._upper, _ = builders.backbone()
        self._extractor = FeatureExtractor(normalize, lower, frozen=freeze_lower)
        if freeze_lower and not mask_probability:
            self.frozen_features = self._frozen_features
        self._head = None  # the layers of `upper` that are trained, if their input is cached
        self._mask_probability = mask_probability
        self._mask_cells = mask_cells
        self.parts = {"lower": lower, "upper": self._upper}
        self.trainable_variables = named_variables(self.parts)

    def forward(self, batch, *, training):
        """Returns "logits" [B, K]. If the batch has a "key", a share of the images is masked."""
        if "head_input" in batch:
            return {"logits": self._head(batch["head_input"], training=training)}
        mask = None
        if "key" in batch and self._mask_probability > 0:
            mask = self._random_masks(batch["key"], *batch["image"].shape[1:3])
        features = self._extractor.extract(batch, training=training, mask=mask)
        return {"logits": shared_passes.call(self._upper, features, training=training)["logits"]}

    def predict(self, images):
        """Returns "logits" [B, K]; the evaluator has no activation map."""
        return self.forward({"image": images}, training=False)

    def _frozen_features(self):
        """Returns "low_level_features" and, if `upper` begins with frozen layers, "last_features" and "head_input".

        "last_features" is the output "features" of `upper`, "head_input" the input of its first layer that is trained.
        """
        parts = layers.split_behind_frozen(self._upper, self._upper.output["logits"])
        if parts is None:
            return [self._extractor.frozen_feature()]
        frozen, self._head = parts
        chain = [self._extractor.frozen_feature(is_read=False)]
        with contextlib.suppress(ValueError):  # the frozen layers end before "features"
            last = self._upper.output["features"]
            between = keras.Model(last, frozen.output)
            chain.append(FrozenFeature("last_features", keras.Model(frozen.inputs, last), is_read=False))
            frozen = between
        return [*chain, FrozenFeature("head_input", frozen, is_read=True)]

    def _random_masks(self, keys, height, width):
        """Returns masks [B, H, W, 1] in 0..1: smooth blobs that keep a random share (1/8 to all) of each image."""
        field = randomness.uniform(keys, [self._mask_cells, self._mask_cells, 1], "evaluator/field")
        field = tf.image.resize(field, [height, width], method="bicubic")
        share_draw, mask_draw = tf.unstack(randomness.uniform(keys, [2], "evaluator/example"), axis=1)  # [B]
        share = 0.125 + (1.0 - 0.125) * share_draw
        # Every n-th row and column of the smooth field is enough to find the level, and sorting all of them is slow.
        some = field[:, :: max(1, height // _RANKED_SIDE), :: max(1, width // _RANKED_SIDE)]
        some = tf.reshape(some, [-1, some.shape[1] * some.shape[2]])
        ranked = tf.sort(some, axis=-1, direction="DESCENDING")
        level = tf.gather(ranked, tf.cast(share * (some.shape[1] - 1), tf.int32), batch_dims=1)
        mask = tf.sigmoid((field - level[:, None, None, None]) * 40.0)
        return tf.where(mask_draw[:, None, None, None] < self._mask_probability, mask, 1.0)
