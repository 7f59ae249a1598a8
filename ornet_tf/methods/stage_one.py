"""Stage one: generator and classifier are trained together; the map gates the low-level features (paper, 3.1)."""
from __future__ import annotations

import functools

import tensorflow as tf

from ornet_tf.maps import refinement
from ornet_tf.methods import Builders, FeatureExtractor, check_object_prior, frozen_features, predicted_classes
from ornet_tf.models import generator
from ornet_tf.models.object_prior import last_features
from ornet_tf.models.variables import named_variables


class Method:
    """Computes the map generator(lower(image)) and classifies upper(lower(image) · map) (Eq. 1-6).

    The options `object_prior` and `background`, which are not in the paper, add targets for losses in training.
    """

    def __init__(
        self,
        builders: Builders,
        *,
        freeze_lower: bool = False,
        object_prior: bool = False,
        background: bool = False,
        refine: bool = False,
    ):
        """Builds the parts `lower`, `generator` and `upper`.

        Args:
          builders: see `Builders`.
          freeze_lower: whether `lower` keeps its start weights. `cache_frozen_features` needs it.
          object_prior: whether training batches have a "pseudo_mask", the target of a `pseudo_mask_agreement` loss (see
            `ornet_tf.models.object_prior` and config.object_prior). The prior needs features of objects: use ImageNet's
            weights and a deep split. The features must not change: set `freeze_lower`, and leave `upper` out of the
            phase's `trainable`; the moving statistics of its batch normalization are kept as well. Pseudo masks are
            computed once, before the first step, so the phase needs `cache_frozen_features`. The method then has a
            further part `direction`, which is learned from all images before the masks are computed. As the prior
            does, the generator then reads the last features of `upper` as well.
          background: whether training also returns how strong the last features are where the map is off, for a
            `background_suppression` loss.
          refine: whether the map of a prediction, cut at 0.5, is refined along the image's edges, at half the image's
            resolution (see `refinement.refine_mask`); not in the paper. Training and the logits use the map as it is.

        Raises:
          UserError: if an option is out of range.
        """
        check_object_prior(object_prior, freeze_lower=freeze_lower)
        self._background, self._refine = background, refine
        normalize, lower, self._upper, _ = builders.backbone()
        self._extractor = FeatureExtractor(normalize, lower, frozen=freeze_lower)
        self.prior = builders.object_prior(lower, self._upper, learns=True) if object_prior else None
        last_shape = None if self.prior is None else self.prior.upper.output_shape[1:]
        self._generator = builders.generator(lower.output_shape[1:], last_shape=last_shape)
        self._map = generator.map_part(self._generator)
        self.parts = {"lower": lower, "generator": self._generator, "upper": self._upper}
        if self.prior is not None:
            self.parts["direction"] = self.prior.direction
        if freeze_lower:
            self.frozen_features = functools.partial(frozen_features, self._extractor, self.prior)
        self.trainable_variables = named_variables(self.parts)

    def forward(self, batch, *, training):
        """Returns "activation_map", "class_maps", "generator_logits" (Eq. 4) and the gated features' "logits" [B, K].

        In training, `background` adds "background_activation" and "whole_activation" [B]: the mean of `upper`'s
        "features" for the low-level features times 1 - map, and for the whole low-level features.
        """
        features = self._extractor.extract(batch, training=training)  # [B, h, w, C]
        outputs = self._generator(self._generator_inputs(features, batch), training=training)
        gate = tf.cast(outputs["activation_map"], features.dtype)
        outputs = {
            "activation_map": outputs["activation_map"],
            "class_maps": outputs["class_maps"],
            "generator_logits": outputs["logits"],
            # With a prior, `upper` runs in inference mode: its moving statistics must not change the prior's features.
            "logits": self._upper(features * gate, training=training and self.prior is None)["logits"],
        }
        if training and self._background:
            outputs.update(self._loss_targets(features, gate, batch))
        return outputs

    def predict(self, images):
        """Returns the outputs of `Method.predict`; the "logits" [B, K] are those of the gated features."""
        features = self._extractor.extract({"image": images}, training=False)
        inputs = self._generator_inputs(features, {})
        activation_map = self._map(inputs, training=False)
        gated = features * tf.cast(activation_map, features.dtype)
        outputs = {"activation_map": activation_map, "logits": self._upper(gated, training=False)["logits"]}
        if self.prior is not None:
            outputs["score_map"] = self.prior.scores(*inputs, predicted_classes(outputs["logits"]))
        return refinement.refine_prediction(outputs, images) if self._refine else outputs

    def _generator_inputs(self, features, batch):
        """Returns the low-level features or, with a prior, a list of these and the last features."""
        return features if self.prior is None else [features, last_features(self._upper, features, batch)]

    def _loss_targets(self, features, gate, batch):
        """Returns the outputs of the option `background`."""
        # In inference mode: the moving statistics of `upper` are those of the gated features only.
        whole = last_features(self._upper, features, batch)
        background = self._upper(features * (1.0 - gate), training=False)["features"]
        # The mean over all channels, not the activation of the label: class weights from few images are unreliable.
        return {
            name: tf.reduce_mean(tf.cast(tf.nn.relu(last), tf.float32), axis=[1, 2, 3])
            for name, last in (("background_activation", background), ("whole_activation", whole))
        }
