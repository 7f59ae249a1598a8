"""The FLOPs in benchmarks/training_cost.py are those of a calculation by hand."""
import pytest
import tensorflow as tf

from benchmarks import _flops
from tests import tiny_experiment

BATCH = 2


def test_only_needed_operations_are_counted():
    frozen, kernel, dense = tf.ones([3, 3, 3, 4]), tf.Variable(tf.ones([3, 3, 4, 5])), tf.Variable(tf.ones([5, 7]))

    @tf.function
    def gradients(images):
        maps = tf.nn.conv2d(tf.nn.conv2d(images, frozen, 1, "SAME"), kernel, 2, "SAME")
        logits = tf.matmul(tf.reduce_mean(maps, axis=[1, 2]), dense)
        return tf.gradients(tf.reduce_sum(logits**2), [kernel, dense])

    counted = _flops.count_flops(gradients.get_concrete_function(tf.zeros([BATCH, 8, 6, 3])))
    first, second, product = (2 * BATCH * n for n in (8 * 6 * 9 * 3 * 4, 4 * 3 * 9 * 4 * 5, 5 * 7))
    # Gradients: of the second kernel, of no input of the convolutions, of both factors of the product.
    assert counted.pop("other") > 0
    assert counted == {
        "Conv2D": first + second, "Conv2DBackpropInput": 0, "Conv2DBackpropFilter": second, "MatMul": 3 * product,
        "BatchMatMulV2": 0,
    }


def test_unknown_products_are_refused():
    traced = tf.function(lambda x: tf.einsum("bi,bj->ij", x, x)).get_concrete_function(tf.zeros([2, 3]))
    with pytest.raises(ValueError, match="Einsum"):
        _flops.count_flops(traced)


def test_a_training_step_has_the_flops_of_its_layers():
    counted = _flops.Step(tiny_experiment.get_config(), "evaluator", num_classes=3, batch_size=BATCH).flops()
    # Pixels, input channels and output channels, for 32 x 32 pixels and three poolings.
    convolutions = [2 * 9 * n for n in (32**2 * 3 * 4, 16**2 * 4 * 6, 8**2 * 6 * 8, 4**2 * 8 * 8)]
    assert counted["Conv2D"] == counted["Conv2DBackpropFilter"] == sum(convolutions)
    assert counted["Conv2DBackpropInput"] == sum(convolutions[1:])
    assert counted["MatMul"] == 3 * 2 * 8 * 3
