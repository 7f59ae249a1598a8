import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import config
from ornet_tf.errors import UserError
from ornet_tf.training.objective import Objective

MAPS = tf.constant([0.25, 0.75])[:, tf.newaxis, tf.newaxis, tf.newaxis]


def test_the_objective_is_the_weighted_sum_over_the_global_batch():
    losses = {"small": config.loss("area", "map", weight=2.0), "late": config.loss("area", "map", weight=1.0, ramp=0.5)}
    objective = Objective(losses, steps=8, batch_size=4)
    assert objective.inputs == {"map"}
    for step, share in ((0, 0.25), (1, 0.5), (3, 1.0), (7, 1.0)):
        total, terms = objective({"map": MAPS}, tf.constant(step))
        assert terms.keys() == {"loss/small", "loss/late"}
        np.testing.assert_allclose(terms["loss/late"], (0.25 + 0.75) / 4)
        np.testing.assert_allclose(total, (2.0 + share) * 0.25)


def test_a_missing_tensor_is_named():
    objective = Objective({"small": config.loss("area", "mask")}, steps=1, batch_size=2)
    with pytest.raises(UserError, match="losses.small.inputs: no tensor 'mask'"):
        objective({"map": MAPS}, tf.constant(0))
