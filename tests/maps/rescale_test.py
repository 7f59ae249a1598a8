import numpy as np
import tensorflow as tf

from ornet_tf.maps.rescale import rescale


def test_maps_are_rescaled_and_constant_maps_become_zero():
    maps = tf.constant([[[[2.0], [4.0]], [[3.0], [2.0]]], [[[7.0], [7.0]], [[7.0], [7.0]]]])
    np.testing.assert_allclose(rescale(maps)[..., 0], [[[0, 1], [0.5, 0]], [[0, 0], [0, 0]]])
