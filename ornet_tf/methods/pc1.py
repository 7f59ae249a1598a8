"""PC1 (Yasuki and Taki, CVPR 2024): the first principal component of one image's weighted feature maps."""
from __future__ import annotations

import numpy as np
import tensorflow as tf

from ornet_tf.methods import cam


class Method(cam.Method):
    """Replaces CAM's sum over the weighted feature maps by their first principal component; needs CAM's head.

    The features are those of CAM: each of the D last feature maps, times the dense layer's weight for the class. All
    steps use one image only. They were read from the authors' program and have not been compared with the paper's text:

    1. Each weighted map is scaled to 0..1, so that of a class weight only the sign is left. Constant maps, which have
       no such scale, are left out.
    2. The D maps are the samples, their N = h' w' positions the variables. They are centred: each position loses its
       mean over the maps.
    3. The map is the first principal axis, a vector of N numbers: the eigenvector of the largest eigenvalue of the
       centred maps' N x N covariance.
    4. The axis has no sign. Objects rarely lie at the border of an image: with the chosen sign, at most half of the
       border's positions are above the map's mean. If exactly half are, the border's mean is the lower one.
    5. The smallest value becomes 0.

    The border is one position wide; the program's is two wide at the bottom and at the right.
    """

    def saliency(self, outputs, classes):
        """Returns the first principal axis for the classes, [B, h', w', 1]; the smallest value is 0.

        If all maps of an image are constant, the axis is 0. If one is not finite, it is NaN.
        """
        features = tf.cast(outputs["features"], tf.float32)
        height, width, depth = features.shape[1:]
        samples = tf.reshape(features, [-1, height * width, depth]) * self.class_weights(classes)[:, tf.newaxis]
        low, high = (reduce(samples, axis=1, keepdims=True) for reduce in (tf.reduce_min, tf.reduce_max))
        varies = tf.cast(high > low, tf.float32)  # [B, 1, D]
        samples = tf.math.divide_no_nan(samples - low, high - low)
        count = tf.reduce_sum(varies, axis=2, keepdims=True)
        mean = tf.math.divide_no_nan(tf.reduce_sum(samples, axis=2, keepdims=True), count)  # [B, N, 1]
        centred = (samples - mean) * varies
        covariance = tf.matmul(centred, centred, transpose_b=True)  # times the number of maps
        # One matrix that is not finite would end the whole run; as NaN, the evaluation reports the image and the row.
        usable = tf.reduce_all(tf.math.is_finite(covariance), axis=[1, 2], keepdims=True)
        values, vectors = tf.linalg.eigh(tf.where(usable, covariance, 0.0))  # ascending
        # Times its standard deviation: an axis without any variance is no direction.
        axis = vectors[:, :, -1] * tf.sqrt(tf.nn.relu(values[:, -1:]))
        axis = tf.where(usable[:, :, 0], _with_low_border(axis, height, width), np.nan)
        axis -= tf.reduce_min(axis, axis=1, keepdims=True)
        return tf.reshape(axis, [-1, height, width, 1])


def _with_low_border(axis: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Returns axes [B, height * width], negated where their border is high."""
    border = np.ones([height, width], bool)
    border[1:-1, 1:-1] = False
    deviation = axis - tf.reduce_mean(axis, axis=1, keepdims=True)
    at_border = tf.boolean_mask(deviation, border.ravel(), axis=1)
    above = tf.reduce_sum(tf.sign(at_border), axis=1, keepdims=True)  # positions above the mean, minus those below
    excess = tf.where(tf.equal(above, 0.0), tf.reduce_sum(at_border, axis=1, keepdims=True), above)
    return tf.where(excess > 0.0, -axis, axis)
