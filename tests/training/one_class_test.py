"""Training on one class is refused if no phase can learn from it, and logged if some can."""
import numpy as np
import pytest

from configs import few_pictures
from ornet_tf import registry
from ornet_tf.data import loading
from ornet_tf.errors import UserError
from ornet_tf.training import one_class, phase_check
from ornet_tf.training.phases import train
from tests import tiny_experiment
from tests.losses.loss_inputs import inputs


@pytest.fixture
def folders(tmp_path, encode):
    """The tiny experiment on twelve images of one class."""
    rng = np.random.default_rng(4)
    for index in range(12):
        path = tmp_path / "data" / ("train" if index < 8 else "test") / "cat" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(rng.integers(0, 256, [40, 40, 3], np.uint8)))
    config = tiny_experiment.get_config()
    config.dataset = {"name": "image_folder", "options": {"root": str(tmp_path / "data")}}
    config.evaluation.threshold_split = ""
    return config, str(tmp_path / "run")


def test_phases_with_only_classification_losses_are_refused(folders):
    config, workdir = folders
    with pytest.raises(UserError, match="'cat': evaluator, stage_one, stage_two would learn nothing.*few_pictures"):
        train(config, workdir)
    config.phase_order = ("evaluator",)
    with pytest.raises(UserError, match="'cat': evaluator would learn nothing"):
        phase_check.check(config, loading.load_source(config, "train"))


def test_phases_with_an_object_prior_learn_from_one_class(caplog):
    with caplog.at_level("WARNING", logger="absl"):
        one_class.check(few_pictures.get_config(), ["cat"])
    assert "'cat': evaluator will learn nothing" in caplog.text
    assert "stage" not in caplog.text


def test_a_loss_of_weight_0_learns_nothing():
    config = few_pictures.get_config()
    for phase in config.phase.values():
        for term in phase.losses.values():
            if not getattr(registry.find("losses", term.plugin), "needs_classes", False):
                term.weight = 0.0
    with pytest.raises(UserError, match="'cat': evaluator, stage_one, stage_two would learn nothing"):
        one_class.check(config, ["cat"])


def test_two_classes_are_accepted(caplog):
    with caplog.at_level("WARNING", logger="absl"):
        one_class.check(tiny_experiment.get_config(), ["cat", "dog"])
    assert not caplog.text


@pytest.mark.parametrize("name", registry.choices("losses"))
def test_a_loss_that_is_zero_for_one_class_has_needs_classes(name):
    loss = registry.find("losses", name)
    tensors = inputs(name)
    if tensors[0].shape.rank == 2 and tensors[0].dtype.is_floating:  # logits
        one = [t[:, :1] if t.shape.rank == 2 else t * 0 for t in tensors]
        np.testing.assert_array_equal(loss(*one), 0)
        assert loss.needs_classes
