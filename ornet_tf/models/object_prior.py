"""The object prior: where an object is, as far as frozen features tell without boxes. Not in the paper.

Features of a network trained on ImageNet are strong on objects of any class. In addition, the objects of a set of
images share features that their surroundings lack. Deep descriptor transforming (Wei et al., Pattern Recognition
2019) therefore takes the first principal component of the features. This prior differs in two ways: features are
scaled to unit length, so that a few strong ones do not dominate; and the direction lies between the first principal
component and the direction in which features grow strong.

The scores say how well each position fits that direction. A pseudo mask is the largest region of scores above a
threshold; a generator can learn from it with the loss `pseudo_mask_agreement`.
"""
from __future__ import annotations

import math
import numbers

import tensorflow as tf

from ornet_tf.compat import keras
from ornet_tf.errors import UserError
from ornet_tf.maps import components
from ornet_tf.maps.rescale import rescale
from ornet_tf.models.variables import named_variables

# Iterations of the power method. 0 would leave the direction in which features grow strong, many would reach the first
# principal component. benchmarks/cub10/README.md compares both with the values between.
_ITERATIONS = 2


def object_direction(shape: tuple[int | None, ...]) -> keras.Model:
    """Returns a model that projects each position's feature onto the direction of objects.

    Called with `training=True`, it first adds the features of all replicas to its sums. All features ever added count
    alike, so the weights that they come from must not change.

    Args:
      shape: [h, w, C] of the features.

    Returns:
      A model: features [B, h, w, C] -> projection float32 [B, h, w, 1] in -2..2, above 0 on the objects' side of the
      mean feature.
    """
    features = keras.Input(shape, name="features")
    return keras.Model(features, _ObjectDirection(dtype="float32", name="moments")(features), name="direction")


class _ObjectDirection(keras.layers.Layer):
    """Sums the outer products of rows (x, s, 1): x is a feature of unit length, s its channel mean before scaling."""

    def build(self, input_shape):
        size = input_shape[-1] + 2
        self.sums = self.add_weight(name="sums", shape=(size, size), initializer="zeros", trainable=False)
        super().build(input_shape)

    @property
    def statistics(self):
        """The variables that training changes without gradients; see `ornet_tf.models.layers.statistics`."""
        return [self.sums]

    def call(self, inputs, training=None):
        unit = tf.math.divide_no_nan(inputs, tf.norm(inputs, axis=-1, keepdims=True))
        if training:
            strength = tf.reduce_mean(inputs, axis=-1, keepdims=True)
            self._add_to_sums(tf.concat([unit, strength, tf.ones_like(strength)], axis=-1))
        mean, direction = self._mean_and_direction()
        return tf.reduce_sum((unit - mean) * direction, axis=-1, keepdims=True)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 1)

    def _add_to_sums(self, rows):
        rows = tf.reshape(rows, [-1, rows.shape[-1]])
        products = tf.matmul(rows, rows, transpose_a=True)
        context = tf.distribute.get_replica_context()
        if context is not None and context.num_replicas_in_sync > 1:
            products = context.all_reduce(tf.distribute.ReduceOp.SUM, products)
        self.sums.assign_add(products)

    def _mean_and_direction(self):
        """Returns the mean feature [C] and the direction [C] of length 1; zeros before any feature was added."""
        sums = tf.convert_to_tensor(self.sums)
        means = tf.math.divide_no_nan(sums, sums[-1, -1])
        mean = means[:-2, -1]
        covariance = means[:-2, :-2] - mean[:, tf.newaxis] * mean
        # The start, the covariance with strength, also fixes the sign: a covariance matrix has no negative eigenvalues.
        direction = _scale_to_unit_length(means[:-2, -2] - mean * means[-2, -1])
        for _ in range(_ITERATIONS):
            direction = _scale_to_unit_length(tf.linalg.matvec(covariance, direction))
        return mean, direction


def _scale_to_unit_length(vector: tf.Tensor) -> tf.Tensor:
    return tf.math.divide_no_nan(vector, tf.norm(vector))


def scores(low_level: tf.Tensor, projection: tf.Tensor, *, low_level_weight: float) -> tf.Tensor:
    """Returns how likely each position belongs to the object.

    The projection of the last features tells objects from their surroundings; the finer low-level features show where
    the object ends.

    Args:
      low_level: floating point [B, h, w, C], the low-level features, which are the input of the classifier's upper
        part.
      projection: float32 [B, h', w', 1], the output of `object_direction` for the classifier's last features. It is
        enlarged to h x w bilinearly, cut off below 0 and rescaled.
      low_level_weight: weight of the rescaled channel mean of `low_level`; the projection has weight 1. With 0 the
        scores depend on the projection alone.

    Returns:
      float32 [B, h, w, 1] in 0..1.
    """
    total = rescale(tf.nn.relu(tf.image.resize(projection, tf.shape(low_level)[1:3])))
    if not low_level_weight:
        return total
    mean = tf.reduce_mean(tf.cast(low_level, tf.float32), axis=-1, keepdims=True)
    return rescale(total + low_level_weight * rescale(mean))


def check_options(*, threshold: float, low_level_weight: float) -> None:
    """Checks the section `object_prior` of a configuration.

    Raises:
      UserError: if a number is out of range.
    """
    if not isinstance(threshold, numbers.Real) or not 0 <= threshold < 1:
        raise UserError(f"config.object_prior.threshold: expected at least 0 and below 1, got {threshold!r}.")
    if not isinstance(low_level_weight, numbers.Real) or not 0 <= low_level_weight < math.inf:
        raise UserError(
            f"config.object_prior.low_level_weight: expected a number of at least 0, got {low_level_weight!r}."
        )


def largest_region(maps: tf.Tensor, threshold: float) -> tf.Tensor:
    """Returns 1 in the largest 8-connected region of each map above a threshold and 0 elsewhere.

    Of equally large regions it is the one with the first pixel in raster order. XLA can't compile this function.

    Args:
      maps: float32 [B, h, w, 1].
      threshold: pixels above it are on.

    Returns:
      float32 [B, h, w, 1], without a gradient.
    """
    labels = components.label_components(tf.squeeze(maps > threshold, axis=3))  # [B, h, w], 0 for background
    pixels = tf.shape(labels)[1] * tf.shape(labels)[2]
    flat = tf.reshape(labels, [-1, pixels])
    areas = tf.math.bincount(flat, minlength=pixels + 1, axis=-1)[:, 1:]  # [B, h * w], by label - 1
    # Labels ascend in raster order, and of equal areas top_k returns the first. tf.argmax does not promise which.
    largest = tf.math.top_k(areas, k=1).indices + 1  # [B, 1]
    return tf.reshape(tf.cast(tf.equal(flat, largest), tf.float32), tf.shape(maps))


class ObjectPrior:
    """The object prior of a method: the scores of a classifier's features, and the pseudo masks made from them.

    Attributes:
      direction: the model of `object_direction`, a part of the method.
      learns: whether training adds features to `direction`.
      upper: the classifier's upper part up to its last features: low-level features -> last features.
      inputs: "lower/layer/kind" and "upper/layer/kind" -> the variables that the features depend on. They must not
        change, in this phase or a later one: all features that are added to `direction` count alike.
    """

    def __init__(
        self,
        lower: keras.Model,
        upper: keras.Model,
        *,
        learns: bool = False,
        threshold: float,
        low_level_weight: float,
    ):
        """Builds `direction` for the features of a classifier.

        Args:
          lower: the classifier's lower part.
          upper: its upper part.
          learns: whether `pseudo_masks` adds the features that it gets to `direction`.
          threshold: on the scores, at least 0 and below 1; the pseudo mask is their largest region above it.
          low_level_weight: see `scores`.

        Raises:
          UserError: if a number is out of range.
        """
        check_options(threshold=threshold, low_level_weight=low_level_weight)
        self.learns, self._threshold, self._low_level_weight = learns, threshold, low_level_weight
        self.direction = object_direction(upper.output["features"].shape[1:])
        self.upper = keras.Model(upper.inputs, upper.output["features"])
        self.inputs = named_variables({"lower": lower, "upper": self.upper}, trainable_only=False)

    def scores(self, low_level: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
        """Returns the scores of images, float32 [B, h, w, 1] in 0..1; see the function `scores`.

        Args:
          low_level: floating point [B, h, w, C], the input of the classifier's upper part.
          last: floating point [B, h', w', D], the "features" that the upper part returns for it.
        """
        return scores(low_level, self.direction(last, training=False), low_level_weight=self._low_level_weight)

    def pseudo_masks(self, low_level: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
        """Returns the pseudo masks of training images, float32 [B, h, w, 1]: 1 on the object, 0 elsewhere.

        If the prior `learns`, the features are added to `direction` first. The arguments are those of `scores`.
        """
        projection = self.direction(last, training=self.learns)
        return largest_region(scores(low_level, projection, low_level_weight=self._low_level_weight), self._threshold)
