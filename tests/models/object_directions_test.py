import numpy as np
import pytest
import tensorflow as tf

from ornet_tf.models import object_directions

LABELS = np.array([0, 2, 2, 0, 2])
LOW = tf.random.stateless_uniform([5, 8, 8, 5], [1, 2])
LAST = tf.random.stateless_uniform([5, 4, 4, 7], [3, 4])


def unit(features):
    return features / np.linalg.norm(features, axis=-1, keepdims=True)


def rescaled(maps):
    low, high = maps.min(axis=(1, 2, 3), keepdims=True), maps.max(axis=(1, 2, 3), keepdims=True)
    return (maps - low) / np.maximum(high - low, 1e-30)


def batches_of(low, last, labels, size=2):
    """Returns the argument `batches` of `learn`."""
    def batches():
        for start in range(0, len(labels), size):
            part = slice(start, start + size)
            yield low[part], last[part], tf.constant(labels[part], tf.int32)

    return batches


def common_projection(features):
    """Projects all features [N, h, w, C] onto their common direction with NumPy in float64: [N, h, w, 1]."""
    features = np.float64(features)
    x, strength = unit(features).reshape(-1, features.shape[-1]), features.mean(axis=3).ravel()
    direction = np.mean((x - x.mean(axis=0)) * (strength - strength.mean())[:, np.newaxis], axis=0)
    for _ in range(2):
        direction = np.cov(x.T, bias=True) @ direction
    return ((unit(features) - x.mean(axis=0)) @ direction / np.linalg.norm(direction))[..., np.newaxis]


def test_the_directions_are_the_shrunk_differences_of_weighted_means():
    model = object_directions.object_directions((8, 8, 5), (4, 4, 7), 3)
    object_directions.learn(model, batches_of(LOW, LAST, LABELS))
    weights = rescaled(
        rescaled(tf.image.resize(np.maximum(common_projection(LAST), 0), [8, 8]).numpy())
        + rescaled(np.maximum(common_projection(LOW), 0))
    )
    for name, features in (("low_level", LOW), ("last", LAST)):
        x = unit(np.float64(features))
        objects = tf.image.resize(weights, x.shape[1:3], antialias=True).numpy()
        directions, offsets = model.get_layer(name).get_weights()
        for label in range(3):
            # 16 images of the mean class are added; class 1 has no image of its own.
            share = 16 / len(x) + (label == LABELS)[:, np.newaxis, np.newaxis, np.newaxis]
            of_objects, of_rest = (
                np.sum(x * part * share, axis=(0, 1, 2)) / np.sum(part * share) for part in (objects, 1 - objects)
            )
            difference = of_objects - of_rest
            np.testing.assert_allclose(directions[label], difference / (difference @ difference), rtol=2e-3, atol=1e-2)
            np.testing.assert_allclose(offsets[label], (of_objects + of_rest) / 2 @ directions[label], rtol=2e-3)


def test_the_scores_are_those_of_the_class_and_0_before_learning():
    model = object_directions.object_directions((8, 8, 5), (4, 4, 7), 3)
    classes = tf.constant([0, 1, 2, 2, 1])
    np.testing.assert_array_equal(model([LOW, LAST, classes]), np.zeros([5, 8, 8, 1]))
    rng = np.random.default_rng(0)
    for name in ("low_level", "last"):
        weights = model.get_layer(name).get_weights()
        model.get_layer(name).set_weights([rng.normal(size=values.shape).astype(np.float32) for values in weights])
    projections = []
    for name, features in (("low_level", LOW), ("last", LAST)):
        directions, offsets = model.get_layer(name).get_weights()
        x = unit(features.numpy())
        found = np.stack([x[i] @ directions[c] - offsets[c] for i, c in enumerate(classes.numpy())])
        projections.append(np.maximum(found[..., np.newaxis], 0))
    low, last = projections
    expected = rescaled(rescaled(tf.image.resize(last, [8, 8]).numpy()) + rescaled(low))
    np.testing.assert_allclose(model([LOW, LAST, classes]), expected, atol=1e-4)
    model.get_layer("scores").set_weights([np.float32(0.2)])  # is stretched to 0.5
    stretched = np.interp(expected, [0.0, 0.2, 1.0], [0.0, 0.5, 1.0])
    np.testing.assert_allclose(model([LOW, LAST, classes]), stretched, atol=1e-4)


def test_a_class_has_a_direction_where_classes_contradict_each_other():
    """Channel 3 is on in objects of class 0 and in the surroundings of class 1, channel 4 the other way round.

    Channels 0 to 2 are strong in most of each object, so that common directions find objects roughly.
    """
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 2
    objects = np.zeros([200, 8, 8], bool)
    objects[:, 2:6, 2:6] = True
    features = 0.1 * rng.random([200, 8, 8, 8])
    features[..., 5:] += rng.random([200, 8, 8, 3])
    hint = objects & (rng.random(objects.shape) < 0.6)
    features[hint, :3] += 1.0
    of_class_0 = (labels == 0)[:, np.newaxis, np.newaxis]
    features[objects == of_class_0, 3] += 1.0
    features[objects != of_class_0, 4] += 1.0
    low, last = tf.constant(features, tf.float32), tf.constant(features[:, ::2, ::2], tf.float32)
    model = object_directions.object_directions((8, 8, 8), (4, 4, 8), 2)
    object_directions.learn(model, batches_of(low, last, labels, 16))
    directions, offsets = model.get_layer("low_level").get_weights()
    assert directions[0, 3] > 0 > directions[0, 4] and directions[1, 3] < 0 < directions[1, 4]
    own, other = (
        np.mean(((unit(features) * directions[c, np.newaxis, np.newaxis, np.newaxis]).sum(-1) > offsets[c])[labels == 0]
                == objects[labels == 0]) for c in (0, 1)
    )
    assert own > 0.97 and own > other + 0.05, (own, other)


def test_features_of_half_precision_are_read_in_float32():
    half = tf.cast(LOW, tf.float16)
    models = [object_directions.object_directions((8, 8, 5), (4, 4, 7), 3) for _ in range(2)]
    object_directions.learn(models[0], batches_of(half, LAST, LABELS))
    object_directions.learn(models[1], batches_of(tf.cast(half, tf.float32), LAST, LABELS))
    for first, second in zip(models[0].get_weights(), models[1].get_weights()):
        assert first.dtype == np.float32
        np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [1, 5])
def test_the_size_of_batches_does_not_matter(size):
    models = [object_directions.object_directions((8, 8, 5), (4, 4, 7), 3) for _ in range(2)]
    object_directions.learn(models[0], batches_of(LOW, LAST, LABELS))
    object_directions.learn(models[1], batches_of(LOW, LAST, LABELS, size))
    for first, second in zip(models[0].get_weights(), models[1].get_weights()):
        np.testing.assert_allclose(first, second, rtol=1e-3, atol=1e-3)
