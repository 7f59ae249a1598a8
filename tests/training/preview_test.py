import numpy as np
import pytest

from ornet_tf import build
from ornet_tf.compat import keras
from ornet_tf.models.variables import named_variables
from ornet_tf.models.winograd import MappedKernels
from ornet_tf.training.preview import Preview
from tests import tiny_experiment


def make(phase, images):
    config = tiny_experiment.get_config()
    config.phase.stage_two.options.erasing_options = {"side": (1.0, 1.0), "candidate_threshold": 0.0}
    keras.utils.set_random_seed(0)
    method = build.build_method(config, config.phase[phase], 3)
    return method, Preview(method, images, threshold=0.5, box_rule="tight", kernels=MappedKernels())


def images(count):
    return np.random.default_rng(0).uniform(0, 255, [count, 32, 32, 3]).astype(np.float32)


def test_stage_two_has_map_erased_map_masked_image_and_box():
    method, preview = make("stage_two", images(3))
    before = {n: np.asarray(v) for n, v in named_variables(method.parts, trainable_only=False).items()}
    outputs = preview.outputs()
    assert {key: value.shape for key, value in outputs.items()} == {
        "activation_map": (3, 8, 8, 1), "erased_map": (3, 8, 8, 1), "masked_image": (3, 32, 32, 3), "boxes": (3, 1, 4),
    }
    assert outputs["masked_image"].dtype == np.uint8
    erased = outputs["erased_map"] == 0
    assert erased.any() and (outputs["activation_map"] > 0).all()
    assert (outputs["masked_image"] <= np.round(images(3))).all()
    again = preview.outputs()
    for key, value in outputs.items():  # the same random numbers each time, and no weight changes
        np.testing.assert_array_equal(value, again[key])
    for name, variable in named_variables(method.parts, trainable_only=False).items():
        np.testing.assert_array_equal(before[name], np.asarray(variable))


@pytest.mark.parametrize(("phase", "count", "keys"), [
    ("stage_one", 2, {"activation_map", "boxes"}), ("evaluator", 2, set()), ("stage_two", 0, set()),
])
def test_outputs_that_a_phase_does_not_have_are_left_out(phase, count, keys):
    assert set(make(phase, images(count))[1].outputs()) == keys
