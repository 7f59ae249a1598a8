import pytest

from ornet_tf.reproduction import variants
from ornet_tf.reproduction.study import REMOVED
from tests import tiny_experiment

AREA = "phase.stage_two.losses.area"


def test_a_variant_differs_in_what_is_changed_only():
    config = tiny_experiment.get_config()
    varied = variants.vary(config, {f"{AREA}.weight": 3.0, "phase.stage_two.losses.entropy": REMOVED})
    assert varied.phase.stage_two.losses.area.weight == 3.0 and "entropy" not in varied.phase.stage_two.losses
    assert config.phase.stage_two.losses.area.weight == 0.02 and "entropy" in config.phase.stage_two.losses
    restored = variants.vary(varied, {AREA: config.phase.stage_two.losses.area.to_dict()})
    assert restored.phase.stage_two.losses.area.weight == 0.02


def test_a_path_that_leads_nowhere_is_named():
    with pytest.raises(ValueError, match="config.phase.stage_three.epochs, which this experiment does not"):
        variants.vary(tiny_experiment.get_config(), {"phase.stage_three.epochs": 1})


def test_what_changes_nothing_has_the_name_of_nothing():
    config = tiny_experiment.get_config()
    same = [{}, {f"{AREA}.weight": 0.02}, {"phase.stage_two.losses.no_such": REMOVED}]
    assert {variants.identity(config, changes) for changes in same} == {"as_configured"}
    one = variants.identity(config, {f"{AREA}.weight": 1.0})
    assert one == variants.identity(config, {f"{AREA}.weight": 1.0, "seed": config.seed})
    assert one not in ("as_configured", variants.identity(config, {AREA: REMOVED}))


def trainer(**evaluation):
    config = tiny_experiment.get_config()
    config.evaluation.update(evaluation)
    return variants.Trainer(config, "nowhere", "stage_two")


def test_what_cannot_be_shared_is_said_before_training():
    with pytest.raises(ValueError, match="config.phases: expected 'stage_three' among them"):
        variants.Trainer(tiny_experiment.get_config(), "nowhere", "stage_three")
    with pytest.raises(ValueError, match="classifier: expected one that is trained before stage_two, got 'stage_two'"):
        trainer(classifier="stage_two")
    for row in ("stage_two", "nobody"):
        with pytest.raises(ValueError, match=f"compares with '{row}': expected .* here one of evaluator, stage_one, "):
            trainer().check([{}], [row])
    with pytest.raises(ValueError, match="area.plugin: no plug-in 'volume'"):
        trainer().check([{f"{AREA}.plugin": "volume"}], [])
