import numpy as np
import pytest
import tensorflow as tf

from ornet_tf.compat import keras
from ornet_tf.models import layers
from ornet_tf.models.shared_passes import SharedPasses, call
from tests import strategies

IMAGES = tf.constant(np.random.default_rng(0).normal(size=(2, 8, 8, 3)), tf.float32)


def make_model(weights_of=None, *, rate=0.1, outputs=("conv", "drop")):
    inputs = keras.Input((8, 8, 3), name="pixels")
    tensors = {"conv": layers.Conv3x3(4, name="conv")(inputs)}
    tensors["drop"] = layers.ExampleDropout(rate, name="drop")(layers.batch_norm("norm")(tensors["conv"]))
    model = keras.Model(inputs, {name: tensors[name] for name in outputs}, name="lower")
    if weights_of is not None:
        model.set_weights(weights_of.get_weights())
    return model


def with_another_variance(model):
    other = make_model(model)
    other.set_weights([*model.get_weights()[:-1], model.get_weights()[-1] + 1e-3])
    return other


def frozen(model):
    other = make_model(model)
    other.trainable = False
    return other


def variables_read(function):
    captured = tf.function(function).get_concrete_function(IMAGES).captured_inputs
    return sum(tensor.dtype == tf.resource for tensor in captured)


@pytest.mark.parametrize(
    ("make_other", "is_equal"),
    [
        (frozen, True),
        (with_another_variance, False),
        (lambda model: make_model(model, rate=0.2), False),
        (lambda model: make_model(model, outputs=["drop"]), False),
    ],
    ids=["frozen", "weight", "option of a layer", "outputs"],
)
def test_equal_models_run_once_on_the_same_tensor(make_other, is_equal):
    model, shared = make_model(), SharedPasses()
    other = make_other(model)

    def both(images):
        with shared.enable():
            return call(model, images), call(other, images)

    assert variables_read(both) == len(model.weights) * (1 if is_equal else 2)
    for outputs, expected in zip(tf.function(both)(IMAGES), (model, other)):
        tf.nest.map_structure(
            lambda *pair: np.testing.assert_allclose(*pair, atol=1e-5), outputs, expected(IMAGES, training=False)
        )


def test_other_tensors_training_and_code_outside_are_not_shared():
    model, shared = make_model(outputs=["conv"]), SharedPasses()
    with shared.enable():
        first = call(model, IMAGES)
        assert call(model, IMAGES) is first
        assert call(model, IMAGES + 0) is not first
        assert call(model, IMAGES, training=True) is not first
        with SharedPasses().enable():
            assert call(model, IMAGES) is not first
        assert call(model, IMAGES) is first
    assert call(model, IMAGES) is not first
    with shared.enable():
        assert call(model, IMAGES) is not first


def test_a_model_with_a_layer_that_cannot_be_described_is_shared_with_none():
    class Scale(keras.layers.Layer):
        def __init__(self, factor, **options):
            super().__init__(**options)
            self._factor = factor

        def call(self, inputs):
            return inputs * self._factor

        def get_config(self):
            raise NotImplementedError

    inputs = keras.Input((8, 8, 3))
    models = [keras.Model(inputs, Scale(factor, name="scale")(inputs), name="lower") for factor in (2.0, 3.0)]
    with SharedPasses().enable():
        for model, factor in zip(models, (2.0, 3.0)):
            np.testing.assert_allclose(call(model, IMAGES), IMAGES * factor)


def test_outputs_of_a_branch_stay_in_the_branch():
    model, shared = make_model(outputs=["drop"]), SharedPasses()

    @tf.function
    def in_a_branch_first(images):
        with shared.enable():
            largest = tf.cond(
                tf.size(images) > 0, lambda: tf.reduce_max(call(model, images)["drop"]), lambda: tf.constant(0.0)
            )
            return largest, tf.reduce_max(call(model, images)["drop"])

    in_branch, outside = in_a_branch_first(IMAGES)
    np.testing.assert_allclose(in_branch, outside, rtol=1e-5)


def test_each_replica_has_its_own_outputs():
    strategy, shared = strategies.mirrored("CPU:0", "CPU:1"), SharedPasses()
    with strategy.scope():
        model = make_model(outputs=["drop"])
        other = make_model(model, outputs=["drop"])

    def both(images):
        with shared.enable():
            return call(model, images)["drop"], call(other, images)["drop"]

    batches = strategy.experimental_distribute_dataset(tf.data.Dataset.from_tensor_slices(IMAGES).batch(2))
    results = tf.function(lambda batch: strategy.run(both, args=(batch,)))(next(iter(batches)))
    expected = model(IMAGES, training=False)["drop"]
    for outputs in results:
        gathered = np.concatenate([part.numpy() for part in strategy.experimental_local_results(outputs)])
        np.testing.assert_allclose(gathered, expected, atol=1e-5)
