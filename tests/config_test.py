import importlib.util
import pathlib

import pytest
from ml_collections import ConfigDict

from ornet_tf import config as ornet
from tests import tiny_experiment

CONFIGS = sorted((pathlib.Path(__file__).parent.parent / "configs").glob("*.py"))


@pytest.mark.parametrize("path", [p for p in CONFIGS if p.name != "__init__.py"], ids=lambda p: p.stem)
def test_every_config_is_valid(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    ornet.validate(module.get_config())


def test_the_default_holds_the_papers_values():
    config = ornet.default()
    assert config.phase.stage_two.losses.entropy.weight == 1.5
    assert config.phase.stage_two.losses.area.weight == 0.02
    assert (config.phase.stage_one.epochs, config.phase.stage_two.epochs) == (70, 30)
    assert (config.phase.stage_one.learning_rate, config.phase.stage_two.learning_rate) == (1e-3, 1e-4)
    assert (config.input.resize, config.input.crop) == (256, 224)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("dataset.name", "toybird", r"config.dataset.name: no plug-in 'toybird'.*toybirds"),
        ("dataset.options.classes_count", 3, r"config.dataset.options.classes_count: unknown option"),
        ("input.crop", 99, r"config.input.crop: expected at most resize = 36, got 99"),
        ("input.resize", 0, r"config.input.resize: expected a positive number, got 0"),
        ("input.broken_images", "ignore", r"config.input.broken_images: expected one of stop, skip, got 'ignore'"),
        ("phases", ("evaluator", "stage_three"), r"config.phases: no config.phase.stage_three"),
        ("phases", ("stage_two",), r"init_from.*earlier phase \(none\)"),
        ("phase.stage_two.init_from.lower", "stage_one", r"expected 'phase.part'"),
        ("phase.stage_one.batch_size", 0, r"config.phase.stage_one.batch_size: expected a positive"),
        ("phase.stage_one.schedule", "linear", r"schedule: expected one of cosine, constant"),
        ("phase.stage_one.losses", ConfigDict(), r"config.phase.stage_one.losses: expected at least one term"),
        ("phase.stage_two.losses.entropy.plugin", "entrpy", r"losses.entropy.plugin: no plug-in 'entrpy'.*'entropy'"),
        ("phase.stage_two.losses.entropy.options.sgma", 1, r"losses.entropy.options.sgma: unknown option"),
        ("evaluation.rows", ("stage_nine",), r"'stage_nine' is neither a phase nor a row"),
        ("evaluation.own_classes", ("stage_nine",), r"'stage_nine' is neither a phase nor a row"),
        ("evaluation.threshold", 1.5, r"config.evaluation.threshold: expected a number between 0 and 1"),
        ("evaluation.box_rule", "loose", r"config.evaluation.box_rule: expected one of tight, largest"),
        ("export.row", "stage_nine", r"'stage_nine' is neither a phase nor a row"),
        ("export.max_boxes", 0, r"config.export.max_boxes: expected a positive number, got 0"),
        ("export.max_boxes", 3, r"max_boxes: expected 1, got 3; .*box_rule = 'largest', which is 'tight'"),
        ("export.max_bytes", 0, r"config.export.max_bytes: expected a positive number, got 0"),
        ("export.max_pixels", -1, r"config.export.max_pixels: expected a positive number, got -1"),
    ],
)
def test_what_is_wrong_is_said_before_any_work(path, value, message):
    config = tiny_experiment.get_config()
    section = config
    *parents, key = path.split(".")
    for name in parents:
        section = section[name]
    with config.unlocked():
        section[key] = value
    with pytest.raises(ValueError, match=message):
        ornet.validate(config)


def test_several_boxes_go_with_the_rule_that_has_several():
    config = tiny_experiment.get_config()
    config.evaluation.box_rule = "largest"
    config.export.max_boxes = 3
    ornet.validate(config)


def test_an_unknown_field_of_a_phase_is_an_error():
    with pytest.raises(ValueError, match="phase stage_one.epoch: unknown field; choose from .*epochs"):
        ornet.phase("stage_one", epoch=3)
