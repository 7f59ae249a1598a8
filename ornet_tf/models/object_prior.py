"""The object prior: where an object is, as far as frozen features tell without boxes. Not in the paper.

Features of a network trained on ImageNet are strong on objects of any class. In addition, the objects of a set of
images share features that their surroundings lack. Deep descriptor transforming (Wei et al., Pattern Recognition
2019) therefore takes the first principal component of the features. This prior differs in four ways:

* Features are scaled to unit length, so that a few strong ones do not dominate.
* The common direction lies between the first principal component and the direction in which features grow strong.
* Two layers are read: the classifier's last features, and its low-level features, which are finer.
* Labels are used. The common directions tell objects from surroundings roughly; then each class gets directions of its
  own, the difference between the mean feature of its objects and that of their surroundings.

The scores say how well each position fits the directions of a class. A pseudo mask is the largest region of scores
above a threshold, refined along the edges of the image; a generator can learn from it with the loss
`pseudo_mask_agreement`. benchmarks/whole_objects/README.md compares the choices.
"""
from __future__ import annotations

import numbers
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import tensorflow as tf
from absl import logging

from ornet_tf.compat import keras
from ornet_tf.errors import UserError
from ornet_tf.maps import components
from ornet_tf.maps.refinement import refine_mask
from ornet_tf.models import shared_passes
from ornet_tf.models.object_directions import learn, object_directions
from ornet_tf.models.variables import named_variables

# A cell of the map belongs to the object if the refined mask covers this share of it. Boxes end at the edges of cells;
# with half of the cell, they would be too small.
_COVERED = 0.4
# Candidates of a threshold that is chosen. Below them regions are mostly surroundings, above them parts of objects.
_THRESHOLDS = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)

# Returns low-level features, last features, labels (int32 [B]) and images, float32 [B, H, W, 3] in 0..255, in batches.
Batches = Callable[[], Iterable[tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]]]


def check_options(*, threshold: float) -> None:
    """Checks the section `object_prior` of a configuration.

    Raises:
      UserError: if the number is out of range.
    """
    if not isinstance(threshold, numbers.Real) or not 0 <= threshold < 1:
        raise UserError(f"config.object_prior.threshold: expected at least 0 and below 1, got {threshold!r}.")


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


def last_features(upper: keras.Model, low_level: tf.Tensor, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Returns a batch's cached "last_features", or those that a classifier's upper part computes in inference mode.

    Args:
      upper: the upper part; its output "features" are the last features.
      low_level: floating point [B, h, w, C], its input.
      batch: the batch; an empty one for images to predict.

    Returns:
      Floating point [B, h', w', D].
    """
    last = batch.get("last_features")
    return shared_passes.call(upper, low_level)["features"] if last is None else last


def shrink_mask(mask: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Returns a mask at a map's resolution: 1 in the cells that the mask covers by at least `_COVERED`, 0 elsewhere.

    Args:
      mask: float32 [B, S, S, 1], 0 or 1.
      height: of the map, in cells.
      width: of the map, in cells.

    Returns:
      float32 [B, height, width, 1].
    """
    covered = tf.image.resize(mask, [height, width], antialias=True)
    return tf.cast(covered >= _COVERED, tf.float32)


class ObjectPrior:
    """The object prior of a method: the scores of a classifier's features, and the pseudo masks made from them.

    Attributes:
      direction: the model of `object_directions`, a part of the method.
      learns: whether a phase learns `direction` before its first step.
      upper: the classifier's upper part up to its last features: low-level features -> last features.
      inputs: "lower/layer/kind" and "upper/layer/kind" -> the variables that the features depend on. They must not
        change, in this phase or a later one: the directions fit these features only.
    """

    def __init__(self, lower: keras.Model, upper: keras.Model, *, learns: bool = False, threshold: float):
        """Builds `direction` for the features of a classifier.

        Args:
          lower: the classifier's lower part.
          upper: its upper part.
          learns: see the attribute.
          threshold: on the scores, at least 0 and below 1; the pseudo mask is their largest region above it, refined.
            0 chooses it from the images, see `learn`.

        Raises:
          UserError: if the threshold is out of range.
        """
        check_options(threshold=threshold)
        self.learns, self._threshold = learns, threshold
        last, num_classes = upper.output["features"], upper.output["logits"].shape[-1]
        self.direction = object_directions(upper.input_shape[1:], last.shape[1:], num_classes)
        self.upper = keras.Model(upper.inputs, last)
        for layer in self.upper.layers:
            # Both stages then compute equal features to the last bit: convolutions do frozen normalization.
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
        self.inputs = named_variables({"lower": lower, "upper": self.upper}, trainable_only=False)

    def scores(self, low_level: tf.Tensor, last: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
        """Returns how likely each position belongs to an object of the class, float32 [B, h, w, 1] in 0..1.

        The threshold of pseudo masks is 0.5: whatever the option is, the scores are stretched to that.

        Args:
          low_level: floating point [B, h, w, C], the input of the classifier's upper part.
          last: floating point [B, h', w', D], the "features" that the upper part returns for it.
          classes: int32 [B].
        """
        return self.direction([low_level, last, tf.cast(classes, tf.int32)], training=False)

    def pseudo_masks(self, low_level: tf.Tensor, last: tf.Tensor, classes: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        """Returns the pseudo masks of images, float32 [B, S, S, 1]: 1 on the object, 0 elsewhere; S as in `refine`.

        Args:
          low_level: see `scores`.
          last: see `scores`.
          classes: see `scores`.
          images: float32 [B, H, W, 3] in 0..255.
        """
        region = largest_region(self.scores(low_level, last, classes), 0.5)
        return largest_region(refine_mask(region, images), 0.5)

    def learn(self, batches: Batches) -> None:
        """Learns the directions from all images, see `object_directions.learn`, and chooses the threshold.

        A threshold of 0 stands for the one of `_THRESHOLDS` whose regions separate the colours of images best: it has
        the largest mean variance of colour between region and rest (Otsu's criterion, on other values than it cuts).

        Args:
          batches: returns an iterable over the features, labels and images of all images; images are float32
            [B, H, W, 3] in 0..255. It is called three times.
        """
        learn(self.direction, lambda: (batch[:3] for batch in batches()))
        threshold, layer = self._threshold, self.direction.get_layer("scores")
        if not threshold:
            layer.set_weights([np.float32(0.5)])  # scores that are not stretched
            total = sum(self._colour_variances(*batch).numpy() for batch in batches())
            threshold = _THRESHOLDS[int(np.argmax(total))]
            shares = ", ".join(f"{t:g}: {value:.3f}" for t, value in zip(_THRESHOLDS, total / max(total)))
            logging.info(
                "config.object_prior.threshold: %g separates the colours of the images best (%s).", threshold, shares
            )
        layer.set_weights([np.float32(threshold)])

    @tf.function(reduce_retracing=True)
    def _colour_variances(self, low_level, last, classes, images):
        """Sums for each threshold the variance of colour between region and rest over the images: float32 [T]."""
        scores = self.scores(low_level, last, classes)
        colours = tf.image.resize(images, tf.shape(scores)[1:3], antialias=True)
        total = []
        for threshold in _THRESHOLDS:
            region = largest_region(scores, threshold)
            share = tf.reduce_mean(region, axis=[1, 2])  # [B, 1]
            inside = tf.math.divide_no_nan(tf.reduce_mean(colours * region, axis=[1, 2]), share)
            outside = tf.math.divide_no_nan(tf.reduce_mean(colours * (1.0 - region), axis=[1, 2]), 1.0 - share)
            total.append(tf.reduce_sum(share * (1.0 - share) * (inside - outside) ** 2))
        return tf.stack(total)
