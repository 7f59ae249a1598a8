"""Methods. A plug-in defines the class `Method(builders, *, options...)`; see `Method` for what it must have."""
from __future__ import annotations

import contextlib
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from ornet_tf.backbones import Backbone
from ornet_tf.compat import keras
from ornet_tf.errors import UserError
from ornet_tf.maps.rescale import rescale


class Builders(typing.NamedTuple):
    """What a method may build its parts with.

    Attributes:
      backbone: returns a new backbone with its start weights.
      generator: returns a new activation map generator for features of the given shape (h, w, C).
      object_prior: returns a new object prior for the classifier with the given `lower` and `upper` part, which learns
        from them with `learns=True`; see `ornet_tf.models.object_prior.ObjectPrior`.
    """

    backbone: Callable[[], Backbone]
    generator: Callable[[Sequence[int]], keras.Model]
    object_prior: Callable[..., Any]


class _BuildingStarted(Exception):
    """A method has begun to build its parts."""


def check_ranges(method: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Lets a method check the values of its options, which it does before it builds a part: none is built.

    Args:
      method: the class.
      options: that `registry.check_options` has passed.

    Raises:
      UserError: if a value is out of range; the message begins with the option's name.
    """

    def begin(*_, **__):
        raise _BuildingStarted

    with contextlib.suppress(_BuildingStarted):
        method(Builders(begin, begin, begin), **options)


class Method(typing.Protocol):
    """What the training loop, evaluation, prediction and export need of a method; nothing else may be used of it.

    A method checks the values of its options before it calls a builder: see `check_ranges`.
    A method with frozen parts that see the images as they come may also have `frozen(images) -> dict of tensors`:
    what these parts make of images float32 [B, H, W, 3] in 0..255. Where it is known before, it comes in the batch. One
    that XLA can't compile says so by `can_be_compiled` = False.
    A method whose map can be that of the true label may also have `predict_for`, see `predict_known`.
    One with weights that play no part says which by `unused`, a set of "part/layer/kind".
    One with an object prior has it as `prior`, see `ornet_tf.models.object_prior`: the features that the prior is
    learned from must come from weights that stay. None, or no such attribute, for none.

    Attributes:
      parts: name -> functional model: what is stored in checkpoints and handed from phase to phase.
      trainable_variables: "part/layer/kind" -> what training may change. Empty for a method that is not trained.
    """

    parts: Mapping[str, keras.Model]
    trainable_variables: Mapping[str, tf.Variable]

    def forward(self, batch: Mapping[str, tf.Tensor], *, training: bool) -> dict[str, tf.Tensor]:
        """Returns the named tensors that losses may ask for, batch-major.

        Args:
          batch: "image" float32 [B, H, W, 3] in 0..255 and, where something is to be erased or masked at random, "key"
            int64 [B, 2]: an example's choices are a function of its key (see `ornet_tf.randomness`). Training has
            "label" int32 [B] as well, and what `frozen` gives where that is known.
          training: whether batch normalisation and dropout behave, and statistics move, as in training.
        """

    def predict(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Maps images float32 [B, H, W, 3] in 0..255 to "activation_map" [B, h, w, 1] in 0..1 and "logits" [B, K].

        A method that knows no classes leaves "logits" out; one that knows no places leaves "activation_map" out.
        """


class LowLevel:
    """The lower part of a backbone with what comes before it; what it makes of a batch may be known already."""

    def __init__(self, normalize: keras.Model, lower: keras.Model, *, frozen: bool):
        """Keeps the models; `frozen` sets that the lower part is not trained and runs in inference mode."""
        self._normalize, self._lower, self._frozen = normalize, lower, frozen
        if frozen:
            lower.trainable = False

    def features(self, batch: Mapping[str, tf.Tensor], *, training: bool, mask: tf.Tensor | None = None) -> tf.Tensor:
        """Returns the features [B, h, w, C] of a batch: its "low_level_features", or computed from its "image".

        Args:
          batch: as in `Method.forward`.
          training: whether the lower part behaves as in training, unless it is frozen.
          mask: [B, H, W, 1], what normalised images are multiplied by; None for whole ones.
        """
        if "low_level_features" in batch:
            return batch["low_level_features"]
        pixels = self._normalize(batch["image"])
        pixels = pixels if mask is None else pixels * mask
        return self._lower(pixels, training=training and not self._frozen)

    def frozen_features(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns "low_level_features": `Method.frozen` of a method with a frozen lower part."""
        return {"low_level_features": self._lower(self._normalize(images), training=False)}


def predict_with_labels(method: Method, images: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns what a method predicts for images whose labels are known, as in evaluation.

    Args:
      method: with `predict_for(images, labels)`, which returns what `predict` does, or without.
      images: float32 [B, H, W, 3] in 0..255.
      labels: int32 [B].
    """
    return method.predict_for(images, labels) if hasattr(method, "predict_for") else method.predict(images)


def predicted_classes(logits: tf.Tensor) -> tf.Tensor:
    """Returns the class of the highest of the logits [B, K], int32 [B]; of equal ones the first class.

    `tf.argmax` does not say which of equal values it takes, `tf.math.top_k` does.
    """
    return tf.math.top_k(logits, k=1).indices[:, 0]


CLASSES = ("predicted", "label")  # whose map a method reads


class ClassifierMap:
    """The base of methods that read a map out of a trained classifier; a subclass says how, in `saliency`."""

    def __init__(self, builders: Builders, *, classes: str = "predicted"):
        """Builds the parts `lower` and `upper`.

        Args:
          builders: see `Builders`.
          classes: the class that the map is of: "predicted", or "label" for the true one, which evaluation alone knows.

        Raises:
          UserError: if `classes` is something else.
        """
        if classes not in CLASSES:
            raise UserError(f"classes: expected one of {', '.join(CLASSES)}, got {classes!r}.")
        self._classes = classes
        self._normalize, self._lower, self._upper, _ = builders.backbone()
        self.parts = {"lower": self._lower, "upper": self._upper}
        self.trainable_variables = {}

    def saliency(self, outputs: Mapping[str, tf.Tensor], classes: tf.Tensor) -> tf.Tensor:
        """Maps the "features" [B, h', w', C] of `upper` to [B, h', w', 1]; below 0 is cut off.

        Args:
          outputs: of `upper`.
          classes: integer [B], those that the map is of.
        """
        raise NotImplementedError

    def forward(self, batch, *, training):
        """Returns what `predict` returns; there is nothing to train."""
        del training
        return self.predict(batch["image"])

    def predict(self, images):
        """Returns "activation_map" [B, h, w, 1], rescaled to 0..1, and "logits" [B, K].

        Raises:
          UserError: if the map should be that of the label.
        """
        if self._classes == "label":
            raise UserError(
                "classes='label': the map of the true label can be evaluated, but images to predict have no labels; "
                "choose a config.export.row with classes='predicted'."
            )
        return self.of_classes(images)

    def predict_for(self, images, labels):
        """Does what `predict` does; the map is that of the labels, int32 [B], if `classes` says so."""
        return self.of_classes(images, labels) if self._classes == "label" else self.predict(images)

    def of_classes(self, images, classes=None):
        """Does what `predict` does for the given classes, integer [B]; None for the predicted ones."""
        return self._read(self._upper(self._lower(self._normalize(images), training=False), training=False), classes)

    def _read(self, outputs, classes=None):
        classes = predicted_classes(outputs["logits"]) if classes is None else classes
        return {"activation_map": self._enlarged(self.saliency(outputs, classes)), "logits": outputs["logits"]}

    def _enlarged(self, saliency):
        # Enlarged to the grid of the generator's maps, so that no row loses by a coarser box.
        return rescale(tf.nn.relu(tf.image.resize(saliency, self._lower.output_shape[1:3])))
