"""Adversarial complementary learning (ACoL; Zhang et al., CVPR 2018): two classifiers that look at different places."""
from __future__ import annotations

import tensorflow as tf

from ornet_tf.compat import keras
from ornet_tf.errors import UserError
from ornet_tf.maps.rescale import rescale
from ornet_tf.methods import Builders, predicted_classes
from ornet_tf.models.variables import named_variables


class Method:
    """Classifier A finds what tells most; it is erased from the features that classifier B sees (section 3.2).

    Both are convolutional and end in class maps whose means are the logits, so that the map of a class is read from
    them directly (section 3.1). A's map of the label, rescaled to 0..1, is cut at delta; where it is above, the
    features are 0 for B. Which pixels these are gets no gradient. The joint map is the larger one of both maps, each
    rescaled. In inference the class is the one that A predicts, for erasing and for both maps. The paper does not say
    what the classifiers start from; here their class maps start small.
    """

    def __init__(self, builders: Builders, *, delta: float = 0.6, width: int = 1024):
        """Builds the parts `lower`, `upper` (without the backbone's own dense layer), `classifier_a`, `classifier_b`.

        Args:
          builders: see `Builders`.
          delta: threshold of erasing on A's map, 0..1; 0.6 is the paper's.
          width: filters of the two 3x3 convolutions of each classifier; 1024 is the paper's.

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
        """Returns "activation_map" [B, h, w, 1], "logits" and "erased_logits" [B, K], of A and of B.

        Where the batch has a "label", as in training, the maps are those of the label, else of the class A predicts.
        """
        features = self._upper(self._lower(self._normalize(batch["image"]), training=training), training=training)
        first, second = self._classifiers
        maps = first(features, training=training)  # [B, h', w', K]
        logits = tf.reduce_mean(maps, axis=[1, 2])
        classes = batch["label"] if "label" in batch else predicted_classes(logits)
        found = _map_of_class(maps, classes)
        kept = 1.0 - tf.cast(found > self._delta, tf.float32)
        complement = second(features * tf.cast(kept, features.dtype), training=training)
        joint = tf.maximum(found, _map_of_class(complement, classes))
        return {
            # On the grid of the generator's maps, so that no row loses by a coarser box.
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
    # Small: ImageNet's features are large, and what large random logits of theirs send back spoils them before the
    # classifier has learned anything.
    small = keras.initializers.RandomNormal(stddev=1e-3)
    maps = keras.layers.Conv2D(num_classes, 1, dtype="float32", kernel_initializer=small, name=f"{name}_maps")(x)
    return keras.Model(inputs, maps, name=name)
