"""Methods. A plug-in defines the class `Method(builders, *, options...)`; see `Method` for what it must have."""
from __future__ import annotations

import contextlib
import typing
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from ornet_tf.backbones import Backbone
from ornet_tf.compat import keras
from ornet_tf.errors import UserError
from ornet_tf.models import shared_passes
from ornet_tf.models.object_prior import ObjectPrior


class Builders(typing.NamedTuple):
    """Functions that build the parts of a method.

    Attributes:
      backbone: returns a new backbone with its start weights.
      generator: returns a new activation map generator for low-level features of the given shape (h, w, C), and for
        last features of the shape `last_shape` unless it is None.
      object_prior: returns a new object prior for a classifier with the given parts `lower` and `upper`. With
        `learns=True` training adds their features to it; see `ornet_tf.models.object_prior.ObjectPrior`.
    """

    backbone: Callable[[], Backbone]
    generator: Callable[..., keras.Model]
    object_prior: Callable[..., Any]


class FrozenFeature(typing.NamedTuple):
    """A feature of the unchanged image that no training step of a phase changes.

    Attributes:
      name: its name in batches.
      model: computes it from the feature before it in the list, the first one from images, float32 [B, H, W, 3] in
        0..255. It runs in inference mode.
      is_read: whether `Method.forward` reads it from a batch that has it.
    """

    name: str
    model: keras.Model
    is_read: bool


class _BuildingStarted(Exception):
    """A method has called its first builder."""


def check_ranges(method: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Checks the values of a method's options without building the method.

    It calls the method with builders that stop it: a method checks its options before it calls its first builder.

    Args:
      method: the class.
      options: options that `registry.check_options` has accepted.

    Raises:
      UserError: if a value is out of range; the message begins with the option's name.
    """

    def stop(*_, **__):
        raise _BuildingStarted

    with contextlib.suppress(_BuildingStarted):
        method(Builders(stop, stop, stop), **options)


def works_with_head(method: Callable[..., Any], head: str | None) -> bool:
    """Returns whether a method works with the head of a backbone.

    Args:
      method: the class; its attribute `heads`, if any, lists the heads that it works with.
      head: the backbone's option `head`; None for a backbone without it.
    """
    return head is None or head in getattr(method, "heads", (head,))


def check_head(method: Callable[..., Any], head: str | None, *, where: str) -> None:
    """Checks that a method works with the head of the configured backbone.

    Args:
      method: the class.
      head: see `works_with_head`.
      where: the config path of the method, for error messages.

    Raises:
      UserError: if it does not.
    """
    if not works_with_head(method, head):
        raise UserError(
            f"{where}: expected a method that works with config.backbone.options.head = {head!r}, got one that needs "
            f"{' or '.join(map(repr, method.heads))}. Set such a head, or use another method; grad_cam and bag_cams "
            "work with any head."
        )


class Method(typing.Protocol):
    """The interface of a method. Training, evaluation, prediction and export use nothing else of it.

    A method checks the values of its options before it calls a builder; see `check_ranges`. In inference it calls a
    part of its backbone by `shared_passes.call` where another method may call an equal part with the same input: the
    part then runs once.

    A method may also have:

    * `frozen_features() -> list of FrozenFeature`, the outputs of frozen layers whose input is the unchanged image. If
      they are cached, `forward` gets them in the batch. It is called when the variables to train are known; see
      `layers.freeze_untrained`.
    * `predict_with_labels(images, labels)`, if its map can be that of the true label; see the function of this name.
    * `heads`, a class attribute: the values of the backbone's option `head` that it works with, if not with all.
    * `unused_weights`, a set of "part/layer/kind": weights that do not influence its outputs.
    * `prior`, its object prior, or None; see `ornet_tf.models.object_prior`. The features that the prior is learned
      from must come from weights that do not change.
    * `pseudo_masks(images, labels) -> float32 [B, S, S, 1]`, 1 on the object, 0 elsewhere: those of its prior.

    Attributes:
      parts: name -> functional model. Checkpoints store the parts, and phases take parts from earlier phases.
      trainable_variables: "part/layer/kind" -> the variables that training may change. Empty for a method without
        training.
    """

    parts: Mapping[str, keras.Model]
    trainable_variables: Mapping[str, tf.Variable]

    def forward(self, batch: Mapping[str, tf.Tensor], *, training: bool) -> dict[str, tf.Tensor]:
        """Returns the named tensors that losses may use, batch-major.

        Args:
          batch: "image" float32 [B, H, W, 3] in 0..255. Where pixels are to be erased or masked at random, "key" int64
            [B, 2]: the random choices for an example are a function of its key (see `ornet_tf.randomness`). Training
            batches also have "label" int32 [B] and, if they are cached, the `frozen_features`.
          training: whether batch normalization and dropout run in training mode and moving statistics are updated.
        """

    def predict(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Maps images float32 [B, H, W, 3] in 0..255 to "activation_map" [B, h, w, 1] in 0..1 and "logits" [B, K].

        A method without a classifier leaves "logits" out; a method without a map leaves "activation_map" out. If the
        map's values do not tell how sure it is, "score_map" [B, h', w', 1] in 0..1 does, for scores of boxes. A map
        that is refined along edges comes with "unrefined_map" [B, h', w', 1], the map before.
        """


class FeatureExtractor:
    """The lower part of a backbone, with its normalization. It reuses low-level features that a batch already has."""

    def __init__(self, normalize: keras.Model, lower: keras.Model, *, frozen: bool):
        """Keeps the models. With `frozen` the lower part is not trained and runs in inference mode."""
        self._normalize, self._lower, self._frozen = normalize, lower, frozen
        if frozen:
            lower.trainable = False

    def extract(self, batch: Mapping[str, tf.Tensor], *, training: bool, mask: tf.Tensor | None = None) -> tf.Tensor:
        """Returns the low-level features [B, h, w, C]: the batch's "low_level_features", or those of its "image".

        Args:
          batch: as in `Method.forward`.
          training: whether the lower part runs in training mode; ignored if it is frozen.
          mask: [B, H, W, 1], multiplied with the normalized images; None for no mask.
        """
        if "low_level_features" in batch:
            return batch["low_level_features"]
        pixels = shared_passes.call(self._normalize, batch["image"])
        pixels = pixels if mask is None else pixels * mask
        return shared_passes.call(self._lower, pixels, training=training and not self._frozen)

    def frozen_feature(self, *, is_read: bool = True) -> FrozenFeature:
        """Returns "low_level_features" [B, h, w, C], the first frozen feature of a method with a frozen lower part."""
        model = keras.Model(self._normalize.inputs, self._lower(self._normalize.outputs[0]))
        return FrozenFeature("low_level_features", model, is_read)


def check_object_prior(object_prior: bool, *, freeze_lower: bool) -> None:
    """Checks that the features which an object prior is learned from do not change.

    Raises:
      UserError: if there is a prior, and the low-level layers are trained.
    """
    if object_prior and not freeze_lower:
        raise UserError("object_prior: expected freeze_lower = True, got False; the features must not change.")


def frozen_features(extractor: FeatureExtractor, prior: ObjectPrior | None) -> list[FrozenFeature]:
    """Returns the frozen features of a method with a frozen lower part and, possibly, an object prior.

    They are "low_level_features" [B, h, w, C] and, with a prior, whose features never change, "last_features"
    [B, h', w', D].
    """
    last = [FrozenFeature("last_features", prior.upper, is_read=True)] if prior is not None else []
    return [extractor.frozen_feature(), *last]


def predict_with_labels(method: Method, images: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns a method's prediction for images whose labels are known, as in evaluation.

    Args:
      method: its own `predict_with_labels` is called if it has one, else `predict`.
      images: float32 [B, H, W, 3] in 0..255.
      labels: int32 [B].
    """
    if hasattr(method, "predict_with_labels"):
        return method.predict_with_labels(images, labels)
    return method.predict(images)


def object_prior(method: Method) -> ObjectPrior | None:
    """Returns the object prior of a method; None if it has none."""
    return getattr(method, "prior", None)


def score_map(predicted: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Returns the map that scores boxes: the prediction's "score_map", else its "activation_map"."""
    return predicted.get("score_map", predicted["activation_map"])


def unrefined_map(predicted: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Returns the map before refinement along edges: the prediction's "unrefined_map", else its "activation_map"."""
    return predicted.get("unrefined_map", predicted["activation_map"])


def predicted_classes(logits: tf.Tensor) -> tf.Tensor:
    """Returns the class of the highest of the logits [B, K], int32 [B]; of equal ones the first class.

    `tf.argmax` does not promise which of equal values it returns, `tf.math.top_k` does.
    """
    return tf.math.top_k(logits, k=1).indices[:, 0]
