import shutil

import numpy as np
import pytest

from ornet_tf import build, config_check, registry, renamed
from ornet_tf import config as ornet
from ornet_tf.errors import UserError
from ornet_tf.runs import run_folder
from ornet_tf.training import phases
from tests import tiny_experiment


@pytest.mark.parametrize(
    ("section", "old", "new"),
    [
        ("phase.stage_one", "accumulate", "gradient_accumulation"),
        ("phase.stage_one", "reuse_frozen", "cache_frozen_features"),
        ("generator", "map_gain", "logit_scale"),
        ("evaluation", "protocols", "metrics"),
        ("evaluation", "rows", "report_rows"),
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


def test_an_old_value_is_answered_with_its_new_option():
    with pytest.raises(UserError, match="candidate_threshold: expected a number, got .* candidate_depth now"):
        registry.find("methods", "stage_two")(None, erasing_options={"candidate_threshold": (0.0, 0.5)})


def test_an_old_field_of_a_phase_is_answered_with_its_new_name():
    with pytest.raises(UserError, match="accumulate: unknown field; .* gradient_accumulation now"):
        ornet.phase("stage_one", accumulate=2)


OLD = {
    "dataset": {"name": "image_folder", "options": {"root": "pictures"}},
    "input": {"resize": 256},
    "generator": {"map_gain": 2.0},
    "starts_from": {"protocols": "an id"},
    "phase": {
        "method": "seed_scores",
        "accumulate": 2,
        "reuse_frozen": True,
        "generator": {"map_gain": 3.0},
        "losses": {"seed": {"plugin": "seed_agreement", "inputs": ["activation_map", "seed_map"]}},
    },
}
NEW = {
    "dataset": {"name": "image_folder", "options": {"root": "pictures"}},
    "input": {"resize": 256, "evaluation_view": "centre_crop"},  # which runs had before the option
    "generator": {"logit_scale": 2.0},
    "starts_from": {"protocols": "an id"},
    "phase": {
        "method": "object_prior_scores",
        "gradient_accumulation": 2,
        "cache_frozen_features": True,
        "generator": {"logit_scale": 3.0},
        "losses": {"pseudo_mask": {"plugin": "pseudo_mask_agreement", "inputs": ["activation_map", "pseudo_mask"]}},
    },
}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"erasing": "attentive", "erasing_options": {}}, {"candidate_depth": [0.0, 0.5]}),
        ({"erasing_options": {"candidate_threshold": [0.7, 0.7], "side": [1, 1]}},
         {"candidate_depth": [0.7, 0.7], "side": [1, 1]}),
        ({"erasing": "restricted_rectangle"}, {"candidate_depth": [1.0, 1.0]}),
        ({"erasing": "random", "erasing_options": {"side": [1, 1]}}, {"side": [1, 1]}),
        ({"erasing": None, "erasing_options": {}}, {}),
    ],
)
def test_stages_two_of_earlier_versions_had_frozen_low_layers_and_random_thresholds(old, new):
    updated = renamed.update_settings({"phase": {"method": "stage_two", "options": old}})
    assert updated["phase"]["options"] == {**old, "freeze_lower": True, "erasing_options": new}
    assert renamed.update_settings(updated) == updated


def test_stored_settings_get_the_current_names_and_names_of_users_stay():
    assert renamed.update_settings(OLD) == NEW
    assert renamed.update_settings(NEW) == NEW
    assert renamed.update_data({"training_pictures": 3, "class_names": ["rows"]}) == {
        "training_images": 3, "class_names": ["rows"],
    }


def test_a_run_of_an_earlier_version_is_resumed_and_read(tiny_run, tmp_path):
    config, workdir = tiny_run[0], tmp_path / "run"
    shutil.copytree(tiny_run[1], workdir, ignore=shutil.ignore_patterns("export", "evaluation"))
    for name in config.phase_order:
        path = str(workdir / name / "settings.json")
        settings = run_folder.read_json(path)
        section = settings["phase"]
        section["accumulate"] = section.pop("gradient_accumulation")
        section["reuse_frozen"] = section.pop("cache_frozen_features")
        settings["generator"]["map_gain"] = settings["generator"].pop("logit_scale")
        run_folder.write_json(path, settings)
    data = run_folder.read_json(str(workdir / "data.json"))
    data["training_pictures"] = data.pop("training_images")
    run_folder.write_json(str(workdir / "data.json"), data)

    phases.train(config, str(workdir))  # refuses a run with other settings or data
    old, new = (build.trained_method(config, "stage_two", str(folder), 3) for folder in (tiny_run[1], workdir))
    np.testing.assert_array_equal(old.parts["generator"].get_weights()[0], new.parts["generator"].get_weights()[0])


def test_only_a_section_with_the_new_name_hints_at_it():
    assert renamed.hint("pictures", ["gallery_images"])
    assert not renamed.hint("pictures", ["root"])
    assert not renamed.hint(3, ["gallery_images"])
