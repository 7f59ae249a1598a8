import shutil

import pytest

from ornet_tf import build
from ornet_tf import config as ornet
from ornet_tf.data import loading
from ornet_tf.errors import UserError
from ornet_tf.runs import weight_origins
from ornet_tf.training import phase_check
from tests import tiny_experiment, tiny_prior, tiny_prior_run


def refusal(config):
    with pytest.raises(UserError) as error:
        phase_check.check(config, loading.load_source(config, "train"))
    return str(error.value)


@pytest.mark.parametrize(
    ("section", "part", "source"),
    [
        ("phase.stage_two", "direction", "stage_one.direction"),
        ("phase.stage_two", "evaluator_upper", "evaluator.upper"),
        ("phase.stage_two", "evaluator_lower", "evaluator.lower"),
        ("phase.stage_one", "upper", "evaluator.upper"),
        ("evaluation.row.object_prior", "direction", "stage_two.direction"),  # the latest one
        ("evaluation.row.cam", "upper", "stage_one.upper"),
    ],
)
def test_a_part_without_weights_is_refused_with_the_config_line_that_helps(section, part, source):
    config = tiny_prior.get_config()
    phase_check.check(config, loading.load_source(config, "train"))  # without the change all parts have weights
    family, *names = section.split(".")
    holder = config[family]
    for name in names:
        holder = holder[name]
    with config.unlocked():
        del holder.init_from[part]
    message = refusal(config)
    assert message.startswith(f"config.{section}.init_from: expected weights for the part {part}, got none for ")
    assert message.endswith(f"Set config.{section}.init_from.{part} = {source!r}.")


def test_a_backbone_that_is_neither_trained_nor_pretrained_is_refused():
    config = tiny_prior.get_config()
    config.phase.evaluator.trainable = ("upper/predictions",)
    message = refusal(config)
    assert message.startswith("config.phase.evaluator.init_from: expected weights for the part lower, got none for bl")
    assert message.endswith("add a phase to config.phase_order that trains lower.")


def test_start_values_of_a_phase_of_0_epochs_are_refused_where_they_are_read():
    config = tiny_prior.get_config()
    config.phase.stage_one.epochs = 0.0
    config.evaluation.report_rows, config.export.row = ("cam", "object_prior"), "object_prior"
    config.phase_order = ("evaluator", "stage_one")  # as in configs/object_prior.py: nothing reads the generator
    phase_check.check(config, loading.load_source(config, "train"))
    config.export.row = "stage_one"
    assert refusal(config).startswith(
        "config.evaluation, the row stage_one: expected trained or pretrained weights from stage_one, got start values "
        "of generator/"
    )
    config = tiny_prior.get_config()
    config.phase.stage_one.epochs = 0.0
    with config.unlocked():
        config.evaluation.report_rows = ("cam",)
    phase_check.check(config, loading.load_source(config, "train"))  # stage two trains this generator
    config.phase.evaluator.epochs = 0.0
    message = refusal(config)
    assert message.startswith("config.phase.stage_two.init_from.lower: expected trained or pretrained weights from st")
    assert "got start values of lower/block1_1_conv/kernel [3, 3, 3, 4]: config.phase.stage_one.epochs is 0" in message


def test_training_the_features_of_an_object_prior_is_refused():
    config = tiny_prior.get_config()
    config.phase.stage_one.trainable = ()
    start = "config.phase.stage_one.trainable: expected expressions that do not match upper/block3_1_conv/"
    assert refusal(config).startswith(start)
    config.phase.stage_one.trainable = ("generator/", "upper/predictions")  # a layer after the features
    phase_check.check(config, loading.load_source(config, "train"))


def test_an_object_prior_needs_the_weights_that_it_was_learned_with():
    config = tiny_prior.get_config()
    with config.unlocked():
        other = ornet.phase("evaluator", losses=config.phase.evaluator.losses.to_dict(), batch_size=8)
        config.phase.other = other
        config.phase_order = ("evaluator", "stage_one", "other", "stage_two")
        config.phase.stage_two.init_from.evaluator_upper = "other.upper"
    message = refusal(config)
    assert message.startswith("config.phase.stage_two.init_from: expected the weights that the object prior was")
    assert "got upper/block3_1_conv/kernel from other instead of evaluator" in message
    with config.unlocked():
        other.init_from = {"lower": "evaluator.lower", "upper": "evaluator.upper"}
        other.options.freeze_lower = True
        other.trainable = ("upper/predictions",)
    message = refusal(config)  # the moving statistics of its batch normalization change
    assert "got upper/block3_1_norm/moving_mean from other instead of evaluator" in message


def test_a_source_with_other_shapes_is_refused():
    config = tiny_prior.get_config()
    config.phase.stage_two.init_from.lower = "stage_one.generator"
    assert refusal(config).startswith(
        "config.phase.stage_two.init_from.lower = 'stage_one.generator': expected 10 weights with the shapes of lower, "
    )


def test_stage_two_can_train_a_new_generator():
    config = tiny_prior.get_config()
    with config.unlocked():
        config.phase_order = ("evaluator", "stage_two")
        stage_two = config.phase.stage_two
        stage_two.options.object_prior = False
        del stage_two.losses["pseudo_mask"]
        stage_two.init_from = {
            "lower": "evaluator.lower", "evaluator_lower": "evaluator.lower", "evaluator_upper": "evaluator.upper"
        }
        config.evaluation.report_rows = ("stage_two",)
    phase_check.check(config, loading.load_source(config, "train"))


def test_a_row_added_after_training_needs_the_weights_of_its_object_prior(tiny_run, tmp_path):
    config = tiny_prior_run.write(tiny_run[1], str(tmp_path / "run"))
    with config.unlocked():
        parts = {"lower": "evaluator.lower", "upper": "evaluator.upper", "direction": "stage_one.direction"}
        config.evaluation.row.object_prior = ornet.row("object_prior_scores", parts)
    build.trained_method(config, "object_prior", str(tmp_path / "run"), 3)
    later = config.copy_and_resolve_references()
    with later.unlocked():
        later.phase.later = config.phase.evaluator.copy_and_resolve_references()
        later.phase_order = ("evaluator", "stage_one", "later", "stage_two")
        later.evaluation.row.object_prior.init_from.upper = "later.upper"
    shutil.copytree(tmp_path / "run" / "evaluator", tmp_path / "run" / "later")
    with pytest.raises(UserError, match="row.object_prior.init_from: expected the weights that the object prior"):
        build.trained_method(later, "object_prior", str(tmp_path / "run"), 3)


def test_of_one_class_any_classifier_is_right_but_no_generator():
    config = tiny_experiment.get_config()
    origins = weight_origins.WeightOrigins(frozenset(), one_class=True)
    for name in ("evaluator", "stage_one"):  # of 0 epochs: nothing is trained
        method = build.build_method(config, config.phase[name], 1)
        origins.add_phase(name, method, {}, [], where=f"config.phase.{name}")
    origins.check_phase_as_row("evaluator", where="here")
    with pytest.raises(UserError, match="got start values of generator/"):
        origins.check_phase_as_row("stage_one", where="here")
