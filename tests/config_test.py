import importlib.util
import pathlib

import pytest

from ornet_tf import config as ornet
from ornet_tf.config_check import validate

CONFIGS = sorted((pathlib.Path(__file__).parent.parent / "configs").glob("*.py"))


@pytest.mark.parametrize("path", [p for p in CONFIGS if p.name != "__init__.py"], ids=lambda p: p.stem)
def test_every_config_is_valid(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    validate(module.get_config())


def test_the_default_has_the_papers_values():
    config = ornet.default()
    assert config.phase.stage_two.losses.entropy.weight == 1.5
    assert config.phase.stage_two.losses.area.weight == 0.02
    assert (config.phase.stage_one.epochs, config.phase.stage_two.epochs) == (70, 30)
    assert (config.phase.stage_one.learning_rate, config.phase.stage_two.learning_rate) == (1e-3, 1e-4)
    assert (config.input.resize, config.input.crop) == (256, 224)


def test_an_unknown_field_of_a_phase_is_an_error():
    with pytest.raises(ValueError, match="stage_one.epoch: .*epochs"):
        ornet.phase("stage_one", epoch=3)
