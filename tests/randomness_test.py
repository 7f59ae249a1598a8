import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import randomness


def keys(count, seed=0, epoch=0):
    return randomness.key(seed, tf.constant(epoch, tf.int64), tf.range(count, dtype=tf.int64))


def test_each_seed_epoch_and_example_has_its_own_key():
    largest = [2**31 - 1, 2**31 - 1, 2**32 - 1]
    found = set()
    for seed in (0, 1, largest[0]):
        for epoch in (0, 1, largest[1]):
            index = tf.constant([0, 1, 7, largest[2]], tf.int64)
            found |= set(map(tuple, randomness.key(seed, tf.constant(epoch, tf.int64), index).numpy()))
    assert len(found) == 3 * 3 * 4


def test_draws_are_uniform_and_differ_between_examples_epochs_seeds_and_streams():
    uniform = tf.function(randomness.uniform)
    draws = uniform(keys(500), [40], "a").numpy()
    assert draws.shape == (500, 40)
    assert draws.min() >= 0 and draws.max() < 1
    assert abs(draws.mean() - 0.5) < 0.01 and abs(draws.var() - 1 / 12) < 0.003
    others = [
        uniform(keys(500), [40], "b"),
        uniform(keys(500, epoch=1), [40], "a"),
        uniform(keys(500, seed=1), [40], "a"),
        np.roll(draws, 1, axis=0),
    ]
    for other in others:
        assert abs(np.corrcoef(draws.ravel(), np.ravel(other))[0, 1]) < 0.03


@pytest.mark.parametrize("split", [[1, 7], [4, 4]])
def test_an_examples_draws_do_not_depend_on_its_batch(split):
    whole = randomness.uniform(keys(8), [3, 2], "a").numpy()
    parts = [randomness.uniform(part, [3, 2], "a").numpy() for part in tf.split(keys(8), split)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))


def test_uniform_like_has_the_shape_of_its_values_static_or_not():
    values = tf.zeros([3, 4, 5, 1])
    expected = randomness.uniform_like(values, keys(3), "a")
    assert expected.shape == [3, 4, 5, 1]
    signature = [tf.TensorSpec([None, None, None, 1]), tf.TensorSpec([None, 2], tf.int64)]
    with_unknown_shape = tf.function(lambda v, k: randomness.uniform_like(v, k, "a"), input_signature=signature)
    np.testing.assert_array_equal(with_unknown_shape(values, keys(3)), expected)


def test_the_keys_are_provided_only_inside_the_context():
    assert randomness.keys_of_examples() is None
    with randomness.examples(keys(2)):
        np.testing.assert_array_equal(randomness.keys_of_examples(), keys(2))
    with pytest.raises(KeyError), randomness.examples(keys(2)):
        raise KeyError
    assert randomness.keys_of_examples() is None
