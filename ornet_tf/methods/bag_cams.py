"""BagCAMs (Zhu et al., ECCV 2022) of a trained classifier: a localizer from each position's gradient, averaged."""
from __future__ import annotations

import tensorflow as tf

from ornet_tf.methods import grad_cam


class Method(grad_cam.Method):
    """Averages the maps of regional localizers, one for each of a layer's N positions; no part is trained.

    With the features Z [N, D] of the layer, the logit s of the class and g = d log s / dZ, the localizer of position m
    gives channel c of position i the score (1 + g[m, c] Z[m, c]) g[i, c] Z[i, c]. The map sums what the mean of all
    localizers finds for the class, channel by channel:

      P[i] = sum over c of max(0, mean over m of (1 + g[m, c] Z[m, c]) g[i, c] Z[i, c])

    Before global average pooling this is close to CAM with the positive weights only. The authors gain most at layers
    before that, see the option `layer` of Grad-CAM. The equation was read from the authors' program and has not been
    compared with those of the paper. There are two differences to the program:

    * The program lets only positive gradients pass backwards through ReLU layers. Here gradients are plain.
    * A logit below 0 has no logarithm. Here it counts with its absolute value, so that evidence for the class stays
      positive.
    """

    def combine(self, maps, gradients, logits):
        """Returns the map [B, h', w', 1] without its factor 1 / s^2, which rescaling to 0..1 removes anyway.

        The factor of position m does not depend on i. N^2 localizations are therefore one mean and two products. With
        g = G / |s|, where G is the gradient of s, the term is (|s| + mean of G Z) G Z / s^2: no division is left.
        """
        evidence = tf.cast(gradients, tf.float32) * tf.cast(maps, tf.float32)  # G Z
        strength = tf.abs(logits)[:, tf.newaxis, tf.newaxis, tf.newaxis]
        bag = strength + tf.reduce_mean(evidence, axis=[1, 2], keepdims=True)  # [B, 1, 1, D]
        return tf.reduce_sum(tf.nn.relu(bag * evidence), axis=-1, keepdims=True)
