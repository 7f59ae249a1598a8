import pytest

from ornet_tf.data import loading
from ornet_tf.errors import UserError
from ornet_tf.training import phase_check
from tests import tiny_experiment, tiny_prior


def test_a_phase_can_start_from_any_earlier_phase():
    config = tiny_experiment.get_config()
    config.phase.stage_one.init_from = {"lower": "evaluator.lower", "upper": "evaluator.upper"}
    phase_check.check(config, loading.load_split(config, "train"))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("stage_two.init_from.lower", "stage_one.lowr", "stage_two.init_from.lower = 'stage_one.lowr'.*stage_one has"),
        ("stage_two.rate_factors", (("nothing", 2.0),), "No variable matches 'nothing'"),
        ("stage_two.trainable", ("generator/", "uper/"), "No variable matches 'uper/'"),
        ("stage_two.batch_size", 64, "config.phase.stage_two.batch_size: expected at most the 48"),
        ("stage_one.cache_frozen_features", True, "stage_one.cache_frozen_features: .* no frozen part"),
    ],
)
def test_an_error_in_any_phase_is_found_before_training(path, value, message):
    config = tiny_experiment.get_config()
    *parents, key = path.split(".")
    section = config.phase
    for name in parents:
        section = section[name]
    section[key] = value
    with pytest.raises(ValueError, match=message):
        phase_check.check(config, loading.load_split(config, "train"))


def test_the_row_whose_pseudo_boxes_are_used_is_checked():
    config = tiny_experiment.get_config()
    config.evaluation.threshold_boxes = "object_prior"
    with pytest.raises(UserError, match="row.object_prior.init_from.direction = .stage_one.direction.: .* stage_one"):
        phase_check.check(config, loading.load_source(config, "train"))


def test_an_object_prior_needs_cached_features():
    config = tiny_prior.get_config()
    config.phase.stage_two.cache_frozen_features = False
    with pytest.raises(UserError, match="stage_two.options.object_prior: expected cache_frozen_features = True, got F"):
        phase_check.check(config, loading.load_source(config, "train"))


def test_a_row_can_use_the_backbone_s_pretrained_weights(vgg16_file):
    config = tiny_experiment.get_config()
    with config.unlocked():
        config.backbone = {"name": "vgg16", "options": {"weights": vgg16_file, "split": "block4_conv3"}}
        config.evaluation.row.mean_features.init_from = {"upper": "evaluator.upper"}
    phase_check.check(config, loading.load_source(config, "train"))
    config.backbone.options.weights = None
    with pytest.raises(UserError, match="row.mean_features.init_from: expected weights for the part lower, got none"):
        phase_check.check(config, loading.load_source(config, "train"))
