import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from ornet_tf import registry
from ornet_tf.errors import UserError
from ornet_tf.maps.refinement import refine
from ornet_tf.models import object_prior
from tests.tiny_methods import BUILDERS, images, randomize_weights

LABELS = tf.constant([0, 1, 2, 0])


def make():
    """Returns the row of a prior with random directions and the threshold 0.4."""
    method = registry.find("methods", "object_prior_scores")(BUILDERS)
    randomize_weights(method.parts["direction"])
    method.parts["direction"].get_layer("scores").set_weights([np.float32(0.4)])
    return method


def test_the_largest_region_is_that_of_scipy():
    scores = tf.random.stateless_uniform([200, 9, 11, 1], [5, 6])
    regions = tf.function(object_prior.largest_region)(scores, 0.6).numpy()
    for score, region in zip(scores.numpy()[..., 0], regions[..., 0]):
        labels, _ = ndimage.label(score > 0.6, np.ones((3, 3)))
        np.testing.assert_array_equal(region, labels == 1 + np.bincount(labels.ravel())[1:].argmax())


def test_a_map_without_a_pixel_above_the_threshold_has_no_region():
    scores = tf.stack([tf.zeros([4, 4, 1]), tf.ones([4, 4, 1])])
    np.testing.assert_array_equal(object_prior.largest_region(scores, 0.5), scores)


def test_pseudo_masks_are_the_largest_regions_of_the_class_s_scores_refined():
    method = make()
    features = method.parts["lower"](images() / 64.0 - 2.0)
    last = method.parts["upper"](features)["features"]
    scores = method.prior.scores(features, last, LABELS)
    regions = object_prior.largest_region(scores, 0.5)
    assert 0.02 < np.mean(regions) < 0.98
    refined = refine(regions, images()).numpy()
    dissolved = refined.max(axis=(1, 2, 3)) <= 0.5
    refined[dissolved] = np.repeat(np.repeat(regions, 2, axis=1), 2, axis=2)[dissolved]
    expected = object_prior.largest_region(refined, 0.5)
    assert not dissolved.all() and np.all(np.any(expected, axis=(1, 2, 3)))
    np.testing.assert_array_equal(method.pseudo_masks(images(), LABELS), expected)
    swapped = method.pseudo_masks(images(), LABELS[::-1])
    assert np.any(swapped != expected)  # the class matters


def test_the_row_s_map_is_that_of_the_predicted_or_the_given_class():
    method = make()
    predicted = method.predict(images())
    classes = np.argmax(predicted["logits"], axis=1)
    np.testing.assert_array_equal(method.predict_for_classes(images(), classes)["activation_map"],
                                  predicted["activation_map"])
    by_label = registry.find("methods", "object_prior_scores")(BUILDERS, classes="label")
    for name, part in by_label.parts.items():
        part.set_weights(method.parts[name].get_weights())
    other = tf.constant((classes + 1) % 3, tf.int32)
    np.testing.assert_array_equal(by_label.predict_with_labels(images(), other)["activation_map"],
                                  method.predict_for_classes(images(), other)["activation_map"])


def learn(threshold, monkeypatch, pixels, scores):
    """Learns a prior that always returns given scores; returns its threshold."""
    prior = object_prior.ObjectPrior(*(make().parts[name] for name in ("lower", "upper")), threshold=threshold)
    monkeypatch.setattr(prior, "scores", lambda *_: tf.constant(scores))
    features = tf.random.stateless_uniform([4, 4, 4, 4], [1, 2]), tf.random.stateless_uniform([4, 4, 4, 6], [3, 4])
    prior.learn(lambda: [(*features, LABELS, tf.constant(pixels))])
    return float(prior.direction.get_layer("scores").get_weights()[0])


@pytest.mark.parametrize("side", [4, 6])
def test_the_threshold_separates_the_colours_of_the_images(side, monkeypatch):
    """Scores fall from the centre; the object is a square of 4 or 6 of 16 cells a side in another colour."""
    distance = np.maximum(*np.abs(np.mgrid[:16, :16] - 7.5))
    scores = np.tile((1.0 - distance / 8.0)[np.newaxis, :, :, np.newaxis], (4, 1, 1, 1)).astype(np.float32)
    pixels = np.where(distance < side / 2, 200.0, 50.0)[np.newaxis, :, :, np.newaxis]
    pixels = np.tile(pixels, (4, 1, 1, 3)).astype(np.float32)
    found = learn(0.0, monkeypatch, pixels, np.clip(scores * 0.6, 0, 1))
    np.testing.assert_array_equal(scores[0, ..., 0] * 0.6 > found, distance < side / 2)
    assert learn(0.15, monkeypatch, pixels, scores) == pytest.approx(0.15)


def test_a_mask_covers_the_cells_that_it_fills_by_two_fifths():
    mask = np.zeros([1, 8, 8, 1], np.float32)
    mask[0, :4, :4] = 1.0
    mask[0, 4:6, :4] = 1.0  # half of the cells
    mask[0, :4, 4] = 1.0  # a quarter
    expected = np.zeros([1, 2, 2, 1], np.float32)
    expected[0, :, 0] = 1.0
    np.testing.assert_array_equal(object_prior.shrink_mask(tf.constant(mask), 2, 2), expected)


@pytest.mark.parametrize(
    ("threshold", "message"),
    [
        (1.0, "object_prior.threshold: expected at least 0 and below 1, got 1.0"),
        (-0.1, "object_prior.threshold: expected at least 0 and below 1, got -0.1"),
        ("0.3", "object_prior.threshold: expected at least 0 and below 1, got '0.3'"),
    ],
)
def test_wrong_options_are_refused(threshold, message):
    with pytest.raises(UserError, match=message):
        object_prior.check_options(threshold=threshold)


def test_of_equally_large_regions_the_first_in_raster_order_is_returned():
    maps = np.zeros([2, 5, 6, 1], np.float32)
    maps[0, 3:5, 0:2] = maps[0, 0:2, 4:6] = maps[0, 0, 0] = 1.0  # two of four pixels, one of one
    maps[1, 4, 0:3] = maps[1, 1, 2:5] = 1.0
    regions = np.zeros_like(maps)
    regions[0, 0:2, 4:6] = regions[1, 1, 2:5] = 1.0
    np.testing.assert_array_equal(tf.function(object_prior.largest_region)(maps, 0.5), regions)
