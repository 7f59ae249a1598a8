"""Adversarial complementary learning (ACoL; Zhang et al., CVPR 2018): two classifiers that use different regions."""
from __future__ import annotations

import tensorflow as tf

from ornet_tf.compat import keras
from ornet_tf.errors import UserError
from ornet_tf.maps.rescale import rescale
from ornet_tf.methods import Builders, predicted_classes
from ornet_tf.models.variables import named_variables


class Method:
    """Erases the region that classifier A uses most from the features of classifier B (section 3.2).

    Both classifiers are convolutional and end in class maps, whose means are the logits. The map of a class is
    therefore one of the class maps (section 3.1). A's map of the label is rescaled to 0..1; where it is above delta,
    the features are set to 0 for B. The choice of these pixels gets no gradient. The activation map is the maximum of
    both classifiers' maps, each rescaled. Inference uses the class that A predicts, for the erasing and for both maps.
    The paper does not give the initial weights of the classifiers; here their class maps start near 0.
    """

    def __init__(self, builders: Builders, *, delta: float = 0.6, width: int = 1024):
        """Builds the parts `lower`, `upper` (without the backbone's dense layer), `classifier_a` and `classifier_b`.

        Args:
          builders: see `Builders`.
          delta: pixels where A's map is above it are erased, 0..1; 0.6 in the paper.
          width: filters of the two 3x3 convolutions of each classifier; 1024 in the paper.

        Raises:
          UserError: if an option is out of range.
        """
        if not 0 <= delta <= 1:
            raise UserError(f"delta: expected 0..1, got {delta!r}.")
        if width < 1:
            raise UserError(f"width: expected at least 1 filter, got {width!r}.")
        self._delta = delta
        self._normalize, self._lower, whole, _ = builders.backbone()
        features, num_classes = whole.output["features"], whole.output["logits"].shape[-1]
        self._upper = keras.Model(whole.inputs, features, name="upper")
        self._classifiers = [_classifier(features.shape[1:], width, num_classes, f"classifier_{x}") for x in "ab"]
        self.parts = {"lower": self._lower, "upper": self._upper, **{part.name: part for part in self._classifiers}}
        self.trainable_variables = named_variables(self.parts)

    def forward(self, batch, *, training):
        """Returns "activation_map" [B, h, w, 1], A's "logits" [B, K] and B's "erased_logits" [B, K].

        The maps are those of the batch's "label" if it has one, as in training, else those of the class A predicts.
        """
        features = self._upper(self._lower(self._normalize(batch["image"]), training=training), training=training)
        classifier_a, classifier_b = self._classifiers
        maps = classifier_a(features, training=training)  # [B, h', w', K]
        logits = tf.reduce_mean(maps, axis=[1, 2])
        classes = batch["label"] if "label" in batch else predicted_classes(logits)
        map_a = _map_of_class(maps, classes)
        kept = 1.0 - tf.cast(map_a > self._delta, tf.float32)
        complement = classifier_b(features * tf.cast(kept, features.dtype), training=training)
        joint = tf.maximum(map_a, _map_of_class(complement, classes))
        return {
            # At the resolution of the generator's maps, so that no method loses by coarser boxes.
            "activation_map": rescale(tf.image.resize(joint, self._lower.output_shape[1:3])),
            "logits": logits,
            "erased_logits": tf.reduce_mean(complement, axis=[1, 2]),
        }

    def predict(self, images):
        """Returns "activation_map" [B, h, w, 1], rescaled to 0..1, and the "logits" [B, K] of classifier A."""
        outputs = self.forward({"image": images}, training=False)
        return {"activation_map": outputs["activation_map"], "logits": outputs["logits"]}


def _map_of_class(maps, classes):
    """Returns the map of one class per example, rescaled to 0..1 and without a gradient: [B, h', w', 1]."""
    return tf.stop_gradient(rescale(tf.gather(maps, classes, axis=3, batch_dims=1)[..., tf.newaxis]))


def _classifier(shape, width, num_classes, name):
    """Returns a model: features [B, h', w', D] -> class maps float32 [B, h', w', K]."""
    x = inputs = keras.Input(shape, name="features")
    for index in (1, 2):
        x = keras.layers.Conv2D(width, 3, padding="same", activation="relu", name=f"{name}_conv{index}")(x)
    # ImageNet features are large. Larger initial weights would give large random logits, and their gradients would
    # damage the features before the classifier has learned anything.
    small = keras.initializers.RandomNormal(stddev=1e-3)
    maps = keras.layers.Conv2D(num_classes, 1, dtype="float32", kernel_initializer=small, name=f"{name}_maps")(x)
    return keras.Model(inputs, maps, name=name)
