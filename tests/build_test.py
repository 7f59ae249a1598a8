import numpy as np
import pytest

from ornet_tf import build
from ornet_tf import config as ornet
from ornet_tf.errors import UserError
from tests import tiny_experiment


def test_a_phase_can_change_generator_options():
    config = tiny_experiment.get_config()
    config.phase.stage_two.generator = {"base_width": 8}
    one = build.build_method(config, config.phase.stage_one, 3)
    two = build.build_method(config, config.phase.stage_two, 3)
    assert one.parts["generator"].get_layer("down0_1_conv").filters == 4
    assert two.parts["generator"].get_layer("down0_1_conv").filters == 8


def test_trained_weights_come_from_the_checkpoint(tiny_run):
    config, workdir = tiny_run
    first = build.trained_method(config, "stage_two", workdir, 3)
    second = build.trained_method(config, "stage_two", workdir, 3)
    for name, part in first.parts.items():
        for a, b in zip(part.get_weights(), second.parts[name].get_weights()):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("options", "crop", "path"),
    [
        ({"split": "foo"}, 32, "config.backbone.options.split"),
        ({"weights": ""}, 32, "config.backbone.options.weights"),
        ({"weights": "nowhere.h5"}, 32, "config.backbone.options.weights"),
        ({}, 33, "config.input.crop"),
    ],
)
def test_a_wrong_option_of_the_backbone_is_named_by_its_path(options, crop, path):
    config = ornet.default()
    config.backbone.options.update(options)
    config.input.crop = crop
    with pytest.raises((UserError, FileNotFoundError), match=f"^{path}: "):
        build.build_method(config, config.phase.evaluator, 3)


@pytest.mark.parametrize(("row", "part"), [("cam", "upper"), ("object_prior", "direction")])
def test_a_row_without_weights_for_a_part_is_refused_after_training(tiny_run, row, part):
    config, workdir = tiny_run
    config = config.copy_and_resolve_references()
    with config.unlocked():
        parts = {"lower": "evaluator.lower", "upper": "evaluator.upper"}
        config.evaluation.row.object_prior = ornet.row("object_prior_scores", parts)
        config.evaluation.row.cam.init_from = {"lower": "evaluator.lower"}
    message = rf"config.evaluation.row.{row}.init_from: expected weights for the part {part}, .* Set config."
    with pytest.raises(UserError, match=message):
        build.trained_method(config, row, workdir, 3)


def test_drop_start_weights_leaves_the_configuration_unchanged(tmp_path):
    config = tiny_experiment.get_config()
    config.backbone = {"name": "vgg16", "options": {"weights": str(tmp_path / "gone.h5")}}
    assert build.drop_start_weights(config).backbone.options.weights is None
    assert config.backbone.options.weights.endswith("gone.h5")
