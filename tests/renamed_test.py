import pytest

from ornet_tf import config as ornet
from ornet_tf import config_check, registry, renamed
from ornet_tf.errors import UserError
from tests import tiny_experiment


@pytest.mark.parametrize(
    ("section", "old", "new"),
    [
        ("phase.stage_one", "accumulate", "gradient_accumulation"),
        ("phase.stage_one", "reuse_frozen", "cache_frozen_features"),
        ("generator", "map_gain", "logit_scale"),
        ("evaluation", "protocols", "metrics"),
        ("evaluation", "protocol_options", "metric_options"),
        ("evaluation", "pictures", "gallery_images"),
    ],
)
def test_an_old_option_is_answered_with_its_new_name(section, old, new):
    config = tiny_experiment.get_config()
    with config.unlocked():
        inner = config
        for key in section.split("."):
            inner = inner[key]
        inner[old] = 1
        assert new in inner or new in ornet.default().generator
    with pytest.raises(UserError, match=rf"config.{section}.{old}: unknown option; .* {new} now"):
        config_check.validate(config)


@pytest.mark.parametrize(
    ("family", "old", "new"),
    [
        ("metrics", "half_open", "corloc"),
        ("losses", "seed_agreement", "pseudo_mask_agreement"),
        ("methods", "seed_scores", "object_prior_scores"),
    ],
)
def test_an_old_plugin_is_answered_with_its_new_name(family, old, new):
    assert new in registry.choices(family)
    with pytest.raises(UserError, match=f"no plug-in '{old}' in {family}; .* {new} now"):
        registry.find(family, old)


def test_an_old_field_of_a_phase_is_answered_with_its_new_name():
    with pytest.raises(UserError, match="accumulate: unknown field; .* gradient_accumulation now"):
        ornet.phase("stage_one", accumulate=2)


def test_stored_settings_get_the_new_names():
    old = {
        "phase": {
            "accumulate": 2,
            "losses": {"seed": {"plugin": "seed_agreement", "inputs": ["activation_map", "seed_map"]}},
        },
        "generator": {"map_gain": 2.0},
        "class_names": ["pictures", "wren"],
    }
    assert renamed.update_names(old) == {
        "phase": {
            "gradient_accumulation": 2,
            "losses": {"pseudo_mask": {"plugin": "pseudo_mask_agreement", "inputs": ["activation_map", "pseudo_mask"]}},
        },
        "generator": {"logit_scale": 2.0},
        "class_names": ["pictures", "wren"],
    }
