import numpy as np
import pytest
import tensorflow as tf

from ornet_tf.compat import keras, variable_path
from ornet_tf.models.variables import named_variables
from ornet_tf.training.optimizers import make_optimizers, make_schedule


def variables():
    inputs = keras.Input((3,))
    hidden = keras.layers.Dense(2, name="hidden")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1, name="head")(hidden), name="model")
    return named_variables({"model": model})


def value(schedule, step):
    return float(schedule(tf.constant(step)))


def test_cosine_decreases_from_the_rate_to_zero():
    schedule = make_schedule(0.2, "cosine", 0, 100)
    expected = [0.1 * (1 + np.cos(np.pi * step / 100)) for step in (0, 25, 50, 100)]
    np.testing.assert_allclose([value(schedule, s) for s in (0, 25, 50, 100)], expected, atol=1e-7)


@pytest.mark.parametrize("name", ["cosine", "constant"])
def test_the_warm_up_is_linear(name):
    schedule = make_schedule(0.2, name, 10, 100)
    np.testing.assert_allclose([value(schedule, s) for s in (0, 5, 10)], [0.0, 0.1, 0.2], atol=1e-6)


def test_constant_does_not_change():
    schedule = make_schedule(0.2, "constant", 0, 100)
    np.testing.assert_allclose([value(schedule, s) for s in (0, 1, 50, 1000)], 0.2, rtol=1e-6)


def test_the_first_matching_rate_factor_counts():
    schedule = make_schedule(0.2, "constant", 0, 100)
    groups = make_optimizers(variables(), schedule=schedule, rate_factors=(("head/bias", 5.0), ("head", 0.1)))
    rates = {
        "/".join(variable_path(v).split("/")[-2:]): round(float(tf.convert_to_tensor(optimizer.learning_rate)), 6)
        for optimizer, members in groups
        for v in members
    }
    assert rates == {"hidden/kernel": 0.2, "hidden/bias": 0.2, "head/kernel": 0.02, "head/bias": 1.0}


def test_only_matching_variables_are_trained():
    groups = make_optimizers(variables(), schedule=make_schedule(0.1, "constant", 0, 1), trainable=("model/hidden",))
    assert [variable_path(v).split("/")[-2] for _, members in groups for v in members] == ["hidden", "hidden"]


def test_an_expression_without_a_match_is_refused():
    with pytest.raises(ValueError, match="No variable matches 'encoder'.*model/hidden/kernel"):
        make_optimizers(variables(), schedule=make_schedule(0.1, "constant", 0, 1), trainable=("hidden", "encoder"))


def test_slots_exist_before_the_first_step():
    (optimizer, members), = make_optimizers(variables(), schedule=make_schedule(0.1, "constant", 0, 1))
    slots = optimizer.variables() if callable(optimizer.variables) else optimizer.variables
    assert len(slots) >= 1 + 2 * len(members)
