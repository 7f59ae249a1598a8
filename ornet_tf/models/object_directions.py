"""The directions of objects in two layers of a frozen classifier, and how they are learned from labelled images.

See `ornet_tf.models.object_prior` for what they are for.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf

from ornet_tf.compat import keras
from ornet_tf.maps.rescale import rescale

# Iterations of the power method. 0 would leave the direction in which features grow strong, many would reach the first
# principal component. benchmarks/cub10/README.md compares both with the values between.
_ITERATIONS = 2
# The means of a class are drawn towards those of all classes, as if so many images of the mean class were added: the
# features of few images are noisy, and classes may be kinds of one thing.
_ADDED_IMAGES = 16

# Returns low-level features [B, h, w, C], last features [B, h', w', D] and labels, int32 [B], of all images in batches.
Batches = Callable[[], Iterable[tuple[tf.Tensor, tf.Tensor, tf.Tensor]]]


def object_directions(
    low_level_shape: tuple[int | None, ...], last_shape: tuple[int | None, ...], num_classes: int
) -> keras.Model:
    """Returns a model that tells how well each position's features fit the directions of a class.

    Args:
      low_level_shape: [h, w, C] of the low-level features.
      last_shape: [h', w', D] of the last features.
      num_classes: K.

    Returns:
      A model: [low-level features [B, h, w, C], last features [B, h', w', D], classes int32 [B]] -> scores, float32
      [B, h, w, 1] in 0..1: the result of `combine`, stretched so that the layer's threshold becomes 0.5. Before `learn`
      all are 0.
    """
    low_level = keras.Input(low_level_shape, name="low_level_features")
    last = keras.Input(last_shape, name="last_features")
    classes = keras.Input((), dtype="int32", name="classes")
    projections = [
        _ClassDirections(num_classes, dtype="float32", name=name)([features, classes])
        for name, features in (("low_level", low_level), ("last", last))
    ]
    scores = _Scores(dtype="float32", name="scores")(projections)
    return keras.Model([low_level, last, classes], scores, name="direction")


class _ClassDirections(keras.layers.Layer):
    """Projects features [B, h, w, C] onto the direction of each example's class [B]: float32 [B, h, w, 1].

    The projection of the mean feature of a class's objects is 0.5, that of their surroundings -0.5.
    """

    def __init__(self, num_classes: int, **options):
        super().__init__(**options)
        self._num_classes = num_classes

    def build(self, input_shape):
        shape = (self._num_classes, input_shape[0][-1])
        self.directions = self.add_weight(name="directions", shape=shape, initializer="zeros", trainable=False)
        self.offsets = self.add_weight(name="offsets", shape=shape[:1], initializer="zeros", trainable=False)
        super().build(input_shape)

    @property
    def statistics(self):
        """The variables that training changes without gradients; see `ornet_tf.models.layers.statistics`."""
        return [self.directions, self.offsets]

    def call(self, inputs):
        features, classes = inputs
        direction = tf.gather(tf.convert_to_tensor(self.directions), classes)  # [B, C]
        offset = tf.gather(tf.convert_to_tensor(self.offsets), classes)
        projection = tf.einsum("bhwc,bc->bhw", _scale_to_unit_length(features), direction)
        return tf.expand_dims(projection - offset[:, tf.newaxis, tf.newaxis], axis=3)

    def compute_output_shape(self, input_shape):
        return (*input_shape[0][:-1], 1)


class _Scores(keras.layers.Layer):
    """Combines the projections of both layers, and stretches the result so that the threshold becomes 0.5."""

    def build(self, input_shape):
        self.threshold = self.add_weight(name="threshold", shape=(), initializer=_half, trainable=False)
        super().build(input_shape)

    @property
    def statistics(self):
        """The variable that training changes without gradients; see `ornet_tf.models.layers.statistics`."""
        return [self.threshold]

    def call(self, inputs):
        combined, threshold = combine(*inputs), tf.convert_to_tensor(self.threshold)
        below = 0.5 * tf.math.divide_no_nan(combined, threshold)
        above = 0.5 + 0.5 * (combined - threshold) / (1.0 - threshold)
        return tf.where(combined > threshold, above, below)

    def compute_output_shape(self, input_shape):
        return input_shape[0]


def _half(shape, dtype=None):
    """An initializer: with this threshold nothing is stretched."""
    return tf.fill(shape, tf.constant(0.5, dtype or tf.float32))


def _scale_to_unit_length(features: tf.Tensor) -> tf.Tensor:
    """Returns features [..., C] as float32 of length 1; zeros stay zeros."""
    features = tf.cast(features, tf.float32)
    return tf.math.divide_no_nan(features, tf.norm(features, axis=-1, keepdims=True))


def combine(low_level: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
    """Returns how likely each position belongs to the object.

    The projection of the last features tells objects from their surroundings; that of the finer low-level features
    shows where the object ends. Both are cut off below 0 and rescaled, and then added.

    Args:
      low_level: float32 [B, h, w, 1], a projection.
      last: float32 [B, h', w', 1], a projection. It is enlarged to h x w bilinearly.

    Returns:
      float32 [B, h, w, 1] in 0..1.
    """
    last = tf.image.resize(tf.nn.relu(last), tf.shape(low_level)[1:3])
    return rescale(rescale(last) + rescale(tf.nn.relu(low_level)))


def learn(model: keras.Model, batches: Batches) -> None:
    """Learns the directions of all classes from all images, in two passes over their features, outside of graphs.

    The first pass finds a common direction in each layer. The second one weighs each position by its score on the
    common directions, and takes the weighted mean features of objects and of surroundings in each class.

    Args:
      model: of `object_directions`; the weights of its directions are replaced, its threshold is kept.
      batches: returns an iterable over the features and labels of all images. It is called twice.
    """
    common = _common_directions(batches())
    sums = _class_sums(batches(), common, num_classes=model.get_layer("low_level").directions.shape[0])
    for name, values in sums.items():
        model.get_layer(name).set_weights(_directions(**values))


def _common_directions(batches) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns for "low_level" and "last" the mean feature [C] and the common direction of objects [C], float32."""
    add = tf.function(lambda *features: [_outer_products(values) for values in features], reduce_retracing=True)
    low_level_sums, last_sums = 0.0, 0.0
    for low_level, last, _ in batches:
        products = [values.numpy().astype(np.float64) for values in add(low_level, last)]
        low_level_sums, last_sums = low_level_sums + products[0], last_sums + products[1]
    return {"low_level": _mean_and_direction(low_level_sums), "last": _mean_and_direction(last_sums)}


def _outer_products(features: tf.Tensor) -> tf.Tensor:
    """Sums the outer products of rows (x, s, 1): x is a feature of unit length, s its channel mean before scaling."""
    strength = tf.reduce_mean(tf.cast(features, tf.float32), axis=-1, keepdims=True)
    rows = tf.concat([_scale_to_unit_length(features), strength, tf.ones_like(strength)], axis=-1)
    rows = tf.reshape(rows, [-1, rows.shape[-1]])
    return tf.matmul(rows, rows, transpose_a=True)


def _mean_and_direction(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    means = sums / sums[-1, -1]
    mean = means[:-2, -1]
    covariance = means[:-2, :-2] - np.outer(mean, mean)
    # The start, the covariance with strength, also fixes the sign: a covariance matrix has no negative eigenvalues.
    direction = means[:-2, -2] - mean * means[-2, -1]
    for _ in range(_ITERATIONS):
        direction = covariance @ direction
        direction /= max(np.linalg.norm(direction), np.finfo(np.float64).tiny)
    return mean.astype(np.float32), direction.astype(np.float32)


def _class_sums(batches, common, *, num_classes: int) -> dict[str, dict[str, np.ndarray]]:
    """Sums features of objects and of surroundings by class, weighted by the scores of the common directions.

    Returns:
      "low_level" and "last" -> {"features": [2, K, C], "weights": [2, K], "images": [K]}, for objects and surroundings.
    """
    sums = {
        name: {"features": np.zeros([2, num_classes, len(mean)]), "weights": np.zeros([2, num_classes]),
               "images": np.zeros([num_classes])}
        for name, (mean, _) in common.items()
    }

    @tf.function(reduce_retracing=True)
    def weigh(low_level, last):
        units = {"low_level": _scale_to_unit_length(low_level), "last": _scale_to_unit_length(last)}
        projections = {
            name: tf.expand_dims(tf.linalg.matvec(unit - common[name][0], common[name][1]), axis=3)
            for name, unit in units.items()
        }
        scores = combine(**projections)
        weighed = {}
        for name, unit in units.items():
            objects = tf.image.resize(scores, unit.shape[1:3], antialias=True)
            weights = tf.stack([objects, 1.0 - objects])[..., 0]  # [2, B, h, w]
            weighed[name] = tf.einsum("nbhw,bhwc->nbc", weights, unit), tf.reduce_sum(weights, axis=[2, 3])
        return weighed

    for low_level, last, labels in batches:
        labels = np.asarray(labels)
        for name, (features, weights) in weigh(low_level, last).items():
            for index in range(2):
                np.add.at(sums[name]["features"][index], labels, features[index].numpy())
                np.add.at(sums[name]["weights"][index], labels, weights[index].numpy())
            np.add.at(sums[name]["images"], labels, 1.0)
    return sums


def _directions(features: np.ndarray, weights: np.ndarray, images: np.ndarray) -> list[np.ndarray]:
    """Returns the directions [K, C] and offsets [K] of all classes, float32, for the sums of `_class_sums`."""
    all_features, all_weights = features.sum(axis=1, keepdims=True), weights.sum(axis=1, keepdims=True)
    added = _ADDED_IMAGES / images.sum()
    means = (features + added * all_features) / (weights + added * all_weights)[..., np.newaxis]  # [2, K, C]
    difference = means[0] - means[1]
    squared = np.maximum(np.sum(difference**2, axis=1), np.finfo(np.float32).tiny)
    offsets = np.sum(means.mean(axis=0) * difference, axis=1) / squared
    return [(difference / squared[:, np.newaxis]).astype(np.float32), offsets.astype(np.float32)]
