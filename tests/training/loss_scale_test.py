import tensorflow as tf

from ornet_tf.training import loss_scale


def test_the_scale_halves_after_an_overflow_and_doubles_after_enough_finite_steps():
    scale = loss_scale.LossScale(scales=True)
    assert not scale.update(tf.constant(False))
    assert scale.read().numpy() == loss_scale.START / 2
    scale.state["good_steps"].assign(loss_scale.GROWTH_STEPS - 1)
    scale.update(tf.constant(True))
    assert scale.read().numpy() == loss_scale.START
    assert scale.state["good_steps"].numpy() == 0


def test_the_lowest_scale_is_1_and_is_reported():
    scale = loss_scale.LossScale(scales=True)
    scale.state["loss_scale"].assign(1.5)
    assert [bool(scale.update(tf.constant(False))) for _ in range(3)] == [False, True, True]
    assert scale.read().numpy() == 1.0
    assert loss_scale.LossScale(scales=False).read().numpy() == 1.0
