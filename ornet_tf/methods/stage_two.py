"""Stage two: the frozen evaluator classifies the image masked by the erased map (paper, section 3.2)."""
from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from ornet_tf import registry
from ornet_tf.errors import UserError
from ornet_tf.maps import refinement
from ornet_tf.methods import Builders, FeatureExtractor, check_object_prior, frozen_features, predicted_classes
from ornet_tf.models import generator, shared_passes
from ornet_tf.models.object_prior import last_features
from ornet_tf.models.variables import named_variables


class Method:
    """Refines the generator of stage one, and the low-level layers, which start from it as well (section 3.2).

    The evaluator runs in inference mode. Gradients pass through it to its input, but its weights are not changed.
    """

    def __init__(
        self,
        builders: Builders,
        *,
        erasing: str | None = "attentive",
        erasing_options: Mapping[str, Any] | None = None,
        upsampling: str = "bilinear",
        freeze_lower: bool = False,
        teacher: bool = False,
        object_prior: bool = False,
        refine: bool = False,
    ):
        """Builds the parts `lower`, `generator`, `evaluator_lower` and `evaluator_upper`.

        Args:
          builders: see `Builders`.
          erasing: the erasing strategy for the map in training, a plug-in of `erasing`, or None.
          erasing_options: its options.
          upsampling: how the map is enlarged to the image's size, `bilinear` or `nearest`. The paper does not say; the
            authors' released code uses nearest. Bilinear has a deterministic gradient on GPUs.
          freeze_lower: whether `lower` keeps the weights of stage one, so that only the generator is trained.
            `cache_frozen_features` needs it. In the paper only the evaluator's weights are fixed.
          teacher: whether training also returns the evaluator's logits for the image without the erased pixels, the
            target of an `agreement` loss; not in the paper.
          object_prior: whether training batches have a "pseudo_mask", the target of a `pseudo_mask_agreement` loss,
            which keeps the map near what stage one has learned; not in the paper. The method then has a further part
            `direction`, that of stage one; `lower` and `evaluator_upper` must be those that it was learned with, so set
            `freeze_lower`. The phase needs `cache_frozen_features`. The generator, as in stage one, reads the last
            features as well.
          refine: whether the map of a prediction, cut at 0.5, is refined along the image's edges, at half the image's
            resolution (see `refinement.refine_mask`); not in the paper. Training uses the map as it is.

        Raises:
          UserError: if an option is out of range.
        """
        if upsampling not in ("bilinear", "nearest"):
            raise UserError(f"upsampling: expected bilinear or nearest, got {upsampling!r}.")
        check_object_prior(object_prior, freeze_lower=freeze_lower)
        self._erase = None
        self._erasing_options = dict(erasing_options or {})
        if erasing is not None:
            self._erase = registry.find("erasing", erasing, where="erasing")
            registry.check_options(self._erase, self._erasing_options, where="erasing_options")
        self._upsampling = upsampling
        self._teacher, self._refine = teacher, refine
        self._normalize, lower, _, _ = builders.backbone()
        self._extractor = FeatureExtractor(self._normalize, lower, frozen=freeze_lower)
        _, self._evaluator_lower, self._evaluator_upper, _ = builders.backbone()
        self.prior = builders.object_prior(lower, self._evaluator_upper) if object_prior else None
        last_shape = None if self.prior is None else self.prior.upper.output_shape[1:]
        self._generator = builders.generator(lower.output_shape[1:], last_shape=last_shape)
        self._map = generator.map_part(self._generator)
        self.parts = {
            "lower": lower,
            "generator": self._generator,
            "evaluator_lower": self._evaluator_lower,
            "evaluator_upper": self._evaluator_upper,
        }
        if self.prior is not None:
            self.parts["direction"] = self.prior.direction
        # Never set to True: that would train layers which the backbone has frozen.
        for name in self.parts.keys() - {"lower", "generator"}:
            self.parts[name].trainable = False
        if freeze_lower:
            self.frozen_features = functools.partial(frozen_features, self._extractor, self.prior)
        # Stage two has no loss on the auxiliary head.
        paths = named_variables(self.parts, trainable_only=False)
        self.unused_weights = {path for path in paths if "auxiliary" in path}
        self.trainable_variables = {
            path: v for path, v in named_variables(self.parts).items() if path not in self.unused_weights
        }

    def forward(self, batch, *, training):
        """Returns "activation_map", "erased_map", "class_maps", "masked_image" [B, H, W, 3] and "evaluator_logits".

        The map is erased if the batch has a "key". In training, `teacher` adds "teacher_logits".
        """
        pixels = shared_passes.call(self._normalize, batch["image"])
        features = self._extractor.extract(batch, training=training)
        outputs = self._generator(self._generator_inputs(features, batch), training=training)
        activation_map = erased_map = outputs["activation_map"]
        if "key" in batch and self._erase is not None:
            erased_map = self._erase(activation_map, batch["key"], **self._erasing_options)
        masked = pixels * self._enlarge(erased_map, pixels)
        outputs = {
            "activation_map": activation_map,
            "erased_map": erased_map,
            "class_maps": outputs["class_maps"],
            "masked_image": masked,
            "evaluator_logits": self._evaluate(masked),
        }
        if training and self._teacher:
            kept = tf.cast(tf.equal(erased_map, activation_map), pixels.dtype)
            outputs["teacher_logits"] = self._evaluate(pixels * self._enlarge(kept, pixels))
        return outputs

    def predict(self, images):
        """Returns the outputs of `Method.predict`; the "logits" [B, K] are the evaluator's for the whole image."""
        features = self._extractor.extract({"image": images}, training=False)
        inputs = self._generator_inputs(features, {})
        logits = self._evaluate(shared_passes.call(self._normalize, images))
        outputs = {"activation_map": self._map(inputs, training=False), "logits": logits}
        if self.prior is not None:  # a nearly binary map does not tell how sure it is
            outputs["score_map"] = self.prior.scores(*inputs, predicted_classes(logits))
        return refinement.refine_prediction(outputs, images) if self._refine else outputs

    def _generator_inputs(self, features, batch):
        """Returns the low-level features or, with a prior, a list of these and the last features."""
        return features if self.prior is None else [features, last_features(self._evaluator_upper, features, batch)]

    def _enlarge(self, activation_map, pixels):
        return tf.image.resize(activation_map, pixels.shape[1:3], method=self._upsampling)

    def _evaluate(self, pixels):
        features = shared_passes.call(self._evaluator_lower, pixels)
        return shared_passes.call(self._evaluator_upper, features)["logits"]
