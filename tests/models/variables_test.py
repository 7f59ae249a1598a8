import pytest

from ornet_tf.compat import keras
from ornet_tf.errors import UserError
from ornet_tf.models.variables import group_by_rate, named_statistics, named_variables


def model(*names):
    inputs = x = keras.Input([4])
    for name in names:
        x = keras.layers.Dense(4, use_bias=False, name=name)(x)
    return keras.Model(inputs, keras.layers.BatchNormalization(name="norm", center=False)(x))


def test_names_are_part_layer_and_kind():
    part = model("first", "second")
    trained = ["a/first/kernel", "a/second/kernel", "a/norm/gamma"]
    assert list(named_variables({"a": part})) == trained
    statistics = {"a/norm/moving_mean", "a/norm/moving_variance"}
    assert {*named_variables({"a": part}, trainable_only=False)} == {*trained, *statistics}
    assert {*named_statistics({"a": part})} == statistics


VARIABLES = {"lower/conv/kernel": 1, "upper/conv/kernel": 2, "head/logits/kernel": 3, "head/logits/bias": 4}


def test_the_first_matching_expression_gives_the_factor():
    groups = group_by_rate(VARIABLES, rate_factors=(("bias", 2.0), ("head", 10.0)))
    assert groups == {1.0: [1, 2], 10.0: [3], 2.0: [4]}


def test_only_variables_that_match_are_trained():
    assert group_by_rate(VARIABLES, trainable=("^upper/", "bias$")) == {1.0: [2, 4]}


@pytest.mark.parametrize("options", [{"trainable": ("uper",)}, {"rate_factors": (("bais", 2.0),)}])
def test_an_expression_without_a_match_is_refused(options):
    with pytest.raises(UserError, match="No variable matches .* lower/conv/kernel"):
        group_by_rate(VARIABLES, **options)
