import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from ornet_tf import registry
from ornet_tf.compat import tf_variable
from ornet_tf.errors import UserError
from ornet_tf.models import object_prior
from tests import strategies
from tests.tiny_methods import BUILDERS, batch, images

LOW = tf.random.stateless_uniform([3, 8, 8, 5], [1, 2])
LAST = tf.random.stateless_uniform([3, 4, 4, 7], [3, 4])


def rescaled(maps):
    low, high = maps.min(axis=(1, 2, 3), keepdims=True), maps.max(axis=(1, 2, 3), keepdims=True)
    return (maps - low) / (high - low)


def unit(features):
    return features / np.linalg.norm(features, axis=-1, keepdims=True)


def reference_mean_and_direction(features):
    """Computes mean and direction of all features [N, C] with NumPy in float64."""
    features = np.float64(features).reshape(-1, features.shape[-1])
    x, strength = unit(features), features.mean(axis=1)
    direction = np.mean((x - x.mean(axis=0)) * (strength - strength.mean())[:, np.newaxis], axis=0)
    covariance = np.cov(x.T, bias=True)
    for _ in range(2):
        direction = covariance @ direction
    return x.mean(axis=0), direction / np.linalg.norm(direction)


def test_the_direction_is_that_of_all_features_added():
    model = object_prior.object_direction((4, 4, 7))
    np.testing.assert_array_equal(model(LAST), np.zeros([3, 4, 4, 1]))  # no feature was added
    more = tf.random.stateless_uniform([2, 4, 4, 7], [7, 8])
    for features in (LAST, more):
        trained = model(features, training=True)
    mean, direction = reference_mean_and_direction(np.concatenate([LAST, more]))
    expected = (unit(np.float64(LAST)) - mean) @ direction
    np.testing.assert_allclose(model(LAST)[..., 0], expected, atol=1e-5)
    np.testing.assert_allclose(trained, model(more), atol=1e-6)  # added before use, and only with `training`


def test_the_direction_finds_objects_that_the_strength_of_features_misses():
    """Objects share two channels; surroundings, 3/4 of each image, use one of eight others, which varies by image."""
    rng = np.random.default_rng(0)
    objects = np.zeros([40, 8, 8], bool)
    objects[:, 2:6, 2:6] = True
    features = 0.3 * rng.random([40, 8, 8, 16]) + np.eye(16)[rng.integers(8, 16, 40)][:, np.newaxis, np.newaxis]
    features[objects] = 0.3 * rng.random([objects.sum(), 16]) + np.isin(np.arange(16), (3, 4)) * rng.uniform(
        0.5, 2.0, [objects.sum(), 1]
    )
    found = object_prior.object_direction((8, 8, 16))(tf.constant(features, tf.float32), training=True)[..., 0]
    assert np.mean((found > 0) == objects) > 0.99
    strength = features.mean(axis=3)
    assert max(np.mean((strength > level) == objects) for level in np.quantile(strength, np.arange(0, 1, 0.01))) < 0.95


def test_the_sums_span_all_replicas():
    strategy = strategies.mirrored("CPU:0", "CPU:1")
    with strategy.scope():
        model = object_prior.object_direction((4, 4, 7))
    shares = [LAST[:1], LAST[1:3]]
    values = strategy.experimental_distribute_values_from_function(
        lambda context: shares[context.replica_id_in_sync_group]
    )
    found = tf.function(lambda: strategy.run(lambda x: model(x, training=True), [values]))()
    alone = object_prior.object_direction((4, 4, 7))
    expected = alone(LAST, training=True)
    np.testing.assert_allclose(tf.concat(strategy.experimental_local_results(found), axis=0), expected, atol=1e-5)
    for variable in strategy.experimental_local_results(tf_variable(model.weights[0])):
        np.testing.assert_allclose(variable, alone.weights[0], rtol=1e-5)


def test_scores_add_the_rescaled_mean_of_the_low_level_features():
    projection = LAST[..., :1] - 0.5
    last = rescaled(np.maximum(tf.image.resize(projection, [8, 8]).numpy(), 0))
    low = rescaled(LOW.numpy().mean(axis=3, keepdims=True))
    np.testing.assert_allclose(object_prior.scores(LOW, projection, low_level_weight=0.0), last, atol=1e-5)
    both = rescaled(last + 0.25 * low)
    np.testing.assert_allclose(object_prior.scores(LOW, projection, low_level_weight=0.25), both, atol=1e-5)


def test_features_of_half_precision_are_averaged_in_float32():
    half = tf.cast(LOW, tf.float16)
    expected = object_prior.scores(tf.cast(half, tf.float32), LAST[..., :1], low_level_weight=0.5)
    np.testing.assert_array_equal(object_prior.scores(half, LAST[..., :1], low_level_weight=0.5), expected)
    model = object_prior.object_direction((8, 8, 5))
    found = model(half, training=True)
    assert found.dtype == tf.float32
    np.testing.assert_array_equal(found, model(tf.cast(half, tf.float32)))


def test_the_largest_region_is_that_of_scipy():
    scores = tf.random.stateless_uniform([200, 9, 11, 1], [5, 6])
    regions = tf.function(object_prior.largest_region)(scores, 0.6).numpy()
    for score, region in zip(scores.numpy()[..., 0], regions[..., 0]):
        labels, _ = ndimage.label(score > 0.6, np.ones((3, 3)))
        np.testing.assert_array_equal(region, labels == 1 + np.bincount(labels.ravel())[1:].argmax())


def test_a_map_without_a_pixel_above_the_threshold_has_no_region():
    scores = tf.stack([tf.zeros([4, 4, 1]), tf.ones([4, 4, 1])])
    np.testing.assert_array_equal(object_prior.largest_region(scores, 0.5), scores)


def test_object_prior_scores_are_those_behind_the_pseudo_masks_of_stage_one():
    stage_one = registry.find("methods", "stage_one")(BUILDERS, freeze_lower=True, object_prior=True)
    trained = stage_one.forward(batch(), training=True)
    method = registry.find("methods", "object_prior_scores")(BUILDERS)
    for name, part in method.parts.items():
        part.set_weights(stage_one.parts[name].get_weights())
    regions = object_prior.largest_region(method.predict(images())["activation_map"], 0.4)
    np.testing.assert_array_equal(trained["pseudo_mask"], regions)
    for _ in range(2):  # the first call must not change the direction
        np.testing.assert_array_equal(method.pseudo_masks(images()), regions)
    assert 0.02 < np.mean(regions) < 0.98


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 1.0}, "object_prior.threshold: expected at least 0 and below 1, got 1.0"),
        ({"threshold": "0.3"}, "object_prior.threshold: expected at least 0 and below 1, got '0.3'"),
        ({"low_level_weight": -0.5}, "object_prior.low_level_weight: expected a number of at least 0, got -0.5"),
        ({"low_level_weight": float("nan")}, "object_prior.low_level_weight: expected a number of at least 0, got nan"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        object_prior.check_options(**{"threshold": 0.3, "low_level_weight": 0.5, **options})


def test_of_equally_large_regions_the_first_in_raster_order_is_returned():
    maps = np.zeros([2, 5, 6, 1], np.float32)
    maps[0, 3:5, 0:2] = maps[0, 0:2, 4:6] = maps[0, 0, 0] = 1.0  # two of four pixels, one of one
    maps[1, 4, 0:3] = maps[1, 1, 2:5] = 1.0
    regions = np.zeros_like(maps)
    regions[0, 0:2, 4:6] = regions[1, 1, 2:5] = 1.0
    np.testing.assert_array_equal(tf.function(object_prior.largest_region)(maps, 0.5), regions)


def test_stage_two_returns_the_pseudo_masks_of_stage_ones_direction():
    stage_one = registry.find("methods", "stage_one")(BUILDERS, freeze_lower=True, object_prior=True)
    expected = stage_one.forward(batch(), training=True)["pseudo_mask"]
    method = registry.find("methods", "stage_two")(BUILDERS, object_prior=True)
    for part, source in (("lower", "lower"), ("evaluator_upper", "upper"), ("direction", "direction")):
        method.parts[part].set_weights(stage_one.parts[source].get_weights())
    for _ in range(2):  # the first call must not change the direction
        np.testing.assert_array_equal(method.forward(batch(), training=True)["pseudo_mask"], expected)
    low_level, last = method.frozen_features()
    cached = {**batch(), "low_level_features": low_level.model(images())}
    cached["last_features"] = last.model(cached["low_level_features"])
    np.testing.assert_array_equal(method.forward(cached, training=True)["pseudo_mask"], expected)
    assert "pseudo_mask" not in method.forward(batch(), training=False)
