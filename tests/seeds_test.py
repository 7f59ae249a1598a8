import numpy as np
import tensorflow as tf
from scipy import ndimage

from ornet_tf import seeds

LOW = tf.random.stateless_uniform([3, 8, 8, 5], [1, 2])
LAST = tf.random.stateless_uniform([3, 4, 4, 7], [3, 4])


def rescaled(maps):
    low, high = maps.min(axis=(1, 2, 3), keepdims=True), maps.max(axis=(1, 2, 3), keepdims=True)
    return (maps - low) / (high - low)


def test_the_mean_activation_adds_the_rescaled_means_of_both_feature_maps():
    last = rescaled(tf.image.resize(LAST.numpy().mean(axis=3, keepdims=True), [8, 8]).numpy())
    low = rescaled(LOW.numpy().mean(axis=3, keepdims=True))
    np.testing.assert_allclose(seeds.mean_activation(LOW, LAST, low_level_weight=0.0), last, atol=1e-5)
    both = rescaled(last + 0.25 * low)
    np.testing.assert_allclose(seeds.mean_activation(LOW, LAST, low_level_weight=0.25), both, atol=1e-5)


def test_features_of_half_precision_are_averaged_in_float32():
    half = tf.cast(LOW, tf.float16), tf.cast(LAST, tf.float16)
    expected = seeds.mean_activation(*[tf.cast(t, tf.float32) for t in half], low_level_weight=0.5)
    np.testing.assert_array_equal(seeds.mean_activation(*half, low_level_weight=0.5), expected)


def test_the_largest_region_is_that_of_scipy():
    scores = tf.random.stateless_uniform([200, 9, 11, 1], [5, 6])
    regions = tf.function(seeds.largest_region)(scores, 0.6).numpy()
    for score, region in zip(scores.numpy()[..., 0], regions[..., 0]):
        labels, _ = ndimage.label(score > 0.6, np.ones((3, 3)))
        np.testing.assert_array_equal(region, labels == 1 + np.bincount(labels.ravel())[1:].argmax())


def test_a_map_without_a_pixel_above_the_threshold_has_no_region():
    scores = tf.stack([tf.zeros([4, 4, 1]), tf.ones([4, 4, 1])])
    np.testing.assert_array_equal(seeds.largest_region(scores, 0.5), scores)
