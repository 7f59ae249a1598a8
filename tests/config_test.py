import importlib.util
import pathlib

import pytest

from configs import cub, fgvc_aircraft, image_folder, reid, stanford_dogs, tfds, wsol_metadata
from ornet_tf import config as ornet
from ornet_tf.config_check import validate

CONFIGS = sorted((pathlib.Path(__file__).parent.parent / "configs").glob("*.py"))
PAPER = (cub, fgvc_aircraft, image_folder, reid, stanford_dogs, tfds, wsol_metadata)


@pytest.mark.parametrize("path", [p for p in CONFIGS if p.name != "__init__.py"], ids=lambda p: p.stem)
def test_every_config_is_valid(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    validate(module.get_config())


@pytest.mark.parametrize("experiment", PAPER, ids=lambda module: module.__name__)
def test_the_configs_of_the_papers_data_sets_have_its_values(experiment):
    """Sections 3 and 4.1. The method's options are left at their defaults, which `methods` documents."""
    config = experiment.get_config()
    one, two = config.phase.stage_one, config.phase.stage_two
    assert config.phase_order == ("evaluator", "stage_one", "stage_two")
    assert (one.epochs, two.epochs, one.batch_size, two.batch_size) == (70, 30, 16, 16)
    assert (one.learning_rate, two.learning_rate, one.schedule, two.schedule) == (1e-3, 1e-4, "cosine", "cosine")
    assert (one.options.to_dict(), one.trainable, two.trainable) == ({}, (), ())
    assert two.options.to_dict() == {
        "erasing": "attentive", "erasing_options": {}, "freeze_lower": False, "upsampling": "bilinear",
    }
    assert {name: (term.plugin, term.weight) for name, term in one.losses.items()} == {
        "classification": ("cross_entropy", 1.0), "auxiliary": ("cross_entropy", 1.0),
    }
    assert {name: (term.plugin, term.weight, term.ramp) for name, term in two.losses.items()} == {
        "evaluation": ("cross_entropy", 1.0, 0.0),
        "entropy": ("weighted_entropy", 1.5, 0.0),
        "area": ("area", 0.02, 0.0),
    }
    assert (config.input.resize, config.input.crop, config.input.horizontal_flip) == (256, 224, False)
    assert all(phase.random_crop for phase in (one, two))
    assert config.backbone.to_dict() == {
        "name": "vgg16", "options": {"split": "block2_pool", "weights": "imagenet", "head": "gap"},
    }


def test_an_unknown_field_of_a_phase_is_an_error():
    with pytest.raises(ValueError, match="stage_one.epoch: .*epochs"):
        ornet.phase("stage_one", epoch=3)
