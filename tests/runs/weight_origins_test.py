import shutil

import pytest

from ornet_tf import build
from ornet_tf import config as ornet
from ornet_tf.data import loading
from ornet_tf.errors import UserError
from ornet_tf.training import phase_check
from tests import tiny_prior, tiny_prior_run


def refused(config):
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
        ("evaluation.row.object_prior", "direction", "stage_two.direction"),  # the last one, which has stage one's
        ("evaluation.row.cam", "upper", "stage_one.upper"),
    ],
)
def test_a_part_without_weights_is_refused_with_the_line_that_gives_it_some(section, part, source):
    config = tiny_prior.get_config()
    phase_check.check(config, loading.load_source(config, "train"))  # as it is all parts have weights
    family, *names = section.split(".")
    holder = config[family]
    for name in names:
        holder = holder[name]
    with config.unlocked():
        del holder.init_from[part]
    said = refused(config)
    assert said.startswith(f"config.{section}.init_from: expected weights for the part {part}, got none for ")
    assert said.endswith(f"Set config.{section}.init_from.{part} = {source!r}.")


def test_a_backbone_that_is_neither_trained_nor_pretrained_is_refused():
    config = tiny_prior.get_config()
    config.phase.evaluator.trainable = ("upper/predictions",)
    assert refused(config) == (
        "config.phase.evaluator.init_from: expected weights for the part lower, got none for block1_1_conv/kernel: it "
        "is neither trained here nor pretrained. No phase before it has a part like it: add one to config.phases that "
        "trains lower."
    )


def test_a_prior_whose_features_would_be_trained_is_refused():
    config = tiny_prior.get_config()
    config.phase.stage_one.trainable = ()
    said = refused(config)
    assert said.startswith("config.phase.stage_one.trainable: expected expressions that leave out upper/block3_1_conv/")
    config.phase.stage_one.trainable = ("generator/", "upper/predictions")  # which comes after the features
    phase_check.check(config, loading.load_source(config, "train"))


def test_a_prior_is_read_with_the_weights_that_it_was_learned_with_or_refused():
    config = tiny_prior.get_config()
    with config.unlocked():
        other = ornet.phase("evaluator", losses=config.phase.evaluator.losses.to_dict(), batch_size=8)
        config.phase.other = other
        config.phases = ("evaluator", "stage_one", "other", "stage_two")
        config.phase.stage_two.init_from.evaluator_upper = "other.upper"
    assert refused(config) == (
        "config.phase.stage_two.init_from: expected the weights that the object prior was learned with in stage_one, "
        "got others: upper/block3_1_conv/kernel comes from other, there from evaluator. Take the parts from stage_one, "
        "or leave upper/block3_1_conv/kernel out of what other trains."
    )
    with config.unlocked():
        other.init_from = {"lower": "evaluator.lower", "upper": "evaluator.upper"}
        other.options.freeze_lower = True
        other.trainable = ("upper/predictions",)
    said = refused(config)  # the statistics of its batch normalisation move
    assert "upper/block3_1_norm/moving_mean comes from other, there from evaluator" in said


def test_a_source_of_another_model_is_refused_before_any_training():
    config = tiny_prior.get_config()
    config.phase.stage_two.init_from.lower = "stage_one.generator"
    assert refused(config).startswith(
        "config.phase.stage_two.init_from.lower = 'stage_one.generator': expected 10 weights of the shapes of lower, "
    )


def test_a_generator_may_be_trained_from_its_start_in_stage_two():
    config = tiny_prior.get_config()
    with config.unlocked():
        config.phases = ("evaluator", "stage_two")
        stage_two = config.phase.stage_two
        stage_two.options.object_prior = False
        del stage_two.losses["pseudo_mask"]
        stage_two.init_from = {
            "lower": "evaluator.lower", "evaluator_lower": "evaluator.lower", "evaluator_upper": "evaluator.upper"
        }
        config.evaluation.rows = ("stage_two",)
    phase_check.check(config, loading.load_source(config, "train"))


def test_a_row_that_is_added_later_reads_a_prior_with_its_own_weights_or_is_refused(tiny_run, tmp_path):
    config = tiny_prior_run.write(tiny_run[1], str(tmp_path / "run"))
    with config.unlocked():
        parts = {"lower": "evaluator.lower", "upper": "evaluator.upper", "direction": "stage_one.direction"}
        config.evaluation.row.object_prior = ornet.row("object_prior_scores", parts)
    build.trained_method(config, "object_prior", str(tmp_path / "run"), 3)
    later = config.copy_and_resolve_references()
    with later.unlocked():
        later.phase.later = config.phase.evaluator.copy_and_resolve_references()
        later.phases = ("evaluator", "stage_one", "later", "stage_two")
        later.evaluation.row.object_prior.init_from.upper = "later.upper"
    shutil.copytree(tmp_path / "run" / "evaluator", tmp_path / "run" / "later")
    with pytest.raises(UserError, match="row.object_prior.init_from: expected the weights that the object prior"):
        build.trained_method(later, "object_prior", str(tmp_path / "run"), 3)
