"""Seeds: first guesses of the object, read from frozen features; what a generator may start from. Not in the paper.

Where features of a network trained on ImageNet are strong, there is mostly an object, whatever its class, and the
objects of a set of images have features in common that their surroundings do not: the idea of deep descriptor
transforming (Wei et al., Pattern Recognition 2019), which takes the first principal component of the features. Here
features have unit length, so that few strong ones do not outweigh the others, and the direction is one between that
component and the one in which features grow strong.
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

# Of the power method. None leaves the direction in which features grow strong, many lead to the first principal
# component; benchmarks/cub10/README.md measures both and what lies between.
_ITERATIONS = 2


def object_direction(shape: tuple[int | None, ...]) -> keras.Model:
    """Returns a model that says how far each place's feature lies towards those of objects.

    Called with `training=True` it first takes the features in, on all replicas, as batch normalisation does. All that
    it has seen counts alike, so the features must come from weights that stay.

    Args:
      shape: [h, w, C] of the features.

    Returns:
      features [B, h, w, C] -> float32 [B, h, w, 1]: above 0 on the objects' side of the mean feature, in -2..2.
    """
    features = keras.Input(shape, name="features")
    return keras.Model(features, _ObjectDirection(dtype="float32", name="moments")(features), name="direction")


class _ObjectDirection(keras.layers.Layer):
    """Sums the products of all pairs out of x, s and 1: a feature of unit length, the mean that its channels had."""

    def build(self, input_shape):
        size = input_shape[-1] + 2
        self.sums = self.add_weight(name="sums", shape=(size, size), initializer="zeros", trainable=False)
        super().build(input_shape)

    @property
    def statistics(self):
        """What training changes without gradients; see `ornet_tf.models.layers.statistics`."""
        return [self.sums]

    def call(self, inputs, training=None):
        unit = tf.math.divide_no_nan(inputs, tf.norm(inputs, axis=-1, keepdims=True))
        if training:
            strength = tf.reduce_mean(inputs, axis=-1, keepdims=True)
            self._take(tf.concat([unit, strength, tf.ones_like(strength)], axis=-1))
        mean, direction = self._axis()
        return tf.reduce_sum((unit - mean) * direction, axis=-1, keepdims=True)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 1)

    def _take(self, rows):
        rows = tf.reshape(rows, [-1, rows.shape[-1]])
        products = tf.matmul(rows, rows, transpose_a=True)
        context = tf.distribute.get_replica_context()
        if context is not None and context.num_replicas_in_sync > 1:
            products = context.all_reduce(tf.distribute.ReduceOp.SUM, products)
        self.sums.assign_add(products)

    def _axis(self):
        """Returns the mean feature [C] and the direction [C], of length 1; zeros before anything was seen."""
        sums = tf.convert_to_tensor(self.sums)
        means = tf.math.divide_no_nan(sums, sums[-1, -1])
        mean = means[:-2, -1]
        covariance = means[:-2, :-2] - mean[:, tf.newaxis] * mean
        # To begin where strength is fixes the sign as well: covariances have no negative eigenvalues.
        direction = _of_length_one(means[:-2, -2] - mean * means[-2, -1])
        for _ in range(_ITERATIONS):
            direction = _of_length_one(tf.linalg.matvec(covariance, direction))
        return mean, direction


def _of_length_one(vector: tf.Tensor) -> tf.Tensor:
    return tf.math.divide_no_nan(vector, tf.norm(vector))


def scores(low_level: tf.Tensor, projection: tf.Tensor, *, low_level_weight: float) -> tf.Tensor:
    """Returns how much each place looks like the object: last features know what it is, low-level ones where it ends.

    Args:
      low_level: floating point [B, h, w, C], the features that the classifier's upper part gets.
      projection: float32 [B, h', w', 1], what `object_direction` makes of its last features; enlarged to h x w
        bilinearly, cut off below 0 and rescaled.
      low_level_weight: of the rescaled channel mean of the first, where the second has 1; 0 for the second alone.

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
    """Returns 1 in the largest 8-connected region of each map above a threshold, 0 elsewhere; not for XLA.

    Of equally large regions it is the one with the first pixel in raster order.

    Args:
      maps: float32 [B, h, w, 1].
      threshold: on them.

    Returns:
      float32 [B, h, w, 1], without a gradient.
    """
    labels = components.label_components(tf.squeeze(maps > threshold, axis=3))  # [B, h, w], 0 for background
    places = tf.shape(labels)[1] * tf.shape(labels)[2]
    flat = tf.reshape(labels, [-1, places])
    areas = tf.math.bincount(flat, minlength=places + 1, axis=-1)[:, 1:]  # [B, h * w], by label - 1
    # Labels count up in raster order, and of equal areas top_k takes the first one; tf.argmax does not say which.
    largest = tf.math.top_k(areas, k=1).indices + 1  # [B, 1]
    return tf.reshape(tf.cast(tf.equal(flat, largest), tf.float32), tf.shape(maps))


class ObjectPrior:
    """The object prior of a method: `scores` of a classifier's features, and the seeds that are cut from them.

    Attributes:
      direction: the model of `object_direction`, a part of the method.
      learns: whether training sums features up in it.
      inputs: "lower/layer/kind" and "upper/layer/kind" -> the variables that the features come from. All that is summed
        up in `direction` counts alike, so they must stay, also from one phase to the next.
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
          learns: whether `cut` takes in the features that it is given.
          threshold: on the scores, at least 0 and below 1; the seed is their largest region above it.
          low_level_weight: see `scores`.
        """
        check_options(threshold=threshold, low_level_weight=low_level_weight)
        self.learns, self._threshold, self._low_level_weight = learns, threshold, low_level_weight
        self.direction = object_direction(upper.output["features"].shape[1:])
        up_to_features = keras.Model(upper.inputs, upper.output["features"])
        self.inputs = named_variables({"lower": lower, "upper": up_to_features}, trainable_only=False)

    def scores(self, low_level: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
        """Returns `scores`, float32 [B, h, w, 1], of the features before and behind the classifier's upper part.

        Args:
          low_level: floating point [B, h, w, C].
          last: floating point [B, h', w', D].
        """
        return scores(low_level, self.direction(last, training=False), low_level_weight=self._low_level_weight)

    def pseudo_masks(self, low_level: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
        """Returns the seeds of training images, float32 [B, h, w, 1]: the largest region of scores above the threshold.

        With `learns` the direction takes in these features first. The arguments are those of `scores`.
        """
        projection = self.direction(last, training=self.learns)
        found = scores(low_level, projection, low_level_weight=self._low_level_weight)
        return largest_region(found, self._threshold)
