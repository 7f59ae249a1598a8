import pytest

from ornet_tf.reproduction import variants
from ornet_tf.reproduction.study import REMOVED
from tests import tiny_experiment, tiny_prior

AREA = "phase.stage_two.losses.area"


def test_only_the_changed_values_of_a_variant_differ():
    config = tiny_experiment.get_config()
    varied = variants.vary(config, {f"{AREA}.weight": 3.0, "phase.stage_two.losses.entropy": REMOVED})
    assert varied.phase.stage_two.losses.area.weight == 3.0 and "entropy" not in varied.phase.stage_two.losses
    assert config.phase.stage_two.losses.area.weight == 0.02 and "entropy" in config.phase.stage_two.losses
    restored = variants.vary(varied, {AREA: config.phase.stage_two.losses.area.to_dict()})
    assert restored.phase.stage_two.losses.area.weight == 0.02


def test_an_unknown_path_is_named():
    with pytest.raises(ValueError, match="config.phase.stage_three.epochs"):
        variants.vary(tiny_experiment.get_config(), {"phase.stage_three.epochs": 1})


def test_ineffective_changes_do_not_alter_the_id():
    config = tiny_experiment.get_config()
    ineffective = [{}, {f"{AREA}.weight": 0.02}, {"phase.stage_two.losses.no_such": REMOVED}]
    assert {variants.variant_id(config, changes) for changes in ineffective} == {"as_configured"}
    changed = variants.variant_id(config, {f"{AREA}.weight": 1.0})
    assert changed == variants.variant_id(config, {f"{AREA}.weight": 1.0, "seed": config.seed})
    assert changed not in ("as_configured", variants.variant_id(config, {AREA: REMOVED}))


def trainer(**evaluation):
    config = tiny_experiment.get_config()
    config.evaluation.update(evaluation)
    return variants.Trainer(config, "nowhere")


def test_a_classifier_row_or_variant_that_cannot_be_used_is_refused_before_training():
    heavier = [{f"{AREA}.weight": 3.0}, {}]
    trainer().check(["stage_two", "cam"], heavier)
    trainer(classifier="stage_two").check(["stage_two"], [])
    with pytest.raises(ValueError, match="config.evaluation.classifier: .* before stage_two, got 'stage_two'"):
        trainer(classifier="stage_two").check([], heavier)
    with pytest.raises(ValueError, match="'nobody' is neither in phase_order nor a row; choose from evaluator, "):
        trainer().check(["nobody"], [])
    with pytest.raises(ValueError, match="area.plugin: .*'volume'"):
        trainer().check([], [{f"{AREA}.plugin": "volume"}])
    without = tiny_experiment.get_config()
    without.phase_order = ("evaluator", "stage_one")
    with pytest.raises(ValueError, match="config.phase_order: expected 'stage_two' among them, got evaluator, stage_o"):
        variants.Trainer(without, "nowhere").check([], heavier)


def test_the_varied_phase_is_that_of_all_changes():
    assert variants.varied_phase([{}, {f"{AREA}.weight": 1.0}]) == "stage_two"
    assert variants.varied_phase([{}]) == variants.varied_phase([]) == ""
    for other in ("phase.stage_one.epochs", "generator.depth"):
        with pytest.raises(ValueError, match="must change one phase"):
            variants.varied_phase([{other: 1}, {f"{AREA}.weight": 1.0}])


def test_a_variant_without_effect_is_the_experiment():
    assert not trainer().is_changed({f"{AREA}.weight": 0.02}) and trainer().is_changed({f"{AREA}.weight": 0.03})


def test_a_variant_may_lack_the_object_prior_that_thresholds_are_chosen_with():
    config = tiny_prior.get_config()
    config.phase_order = ("evaluator", "stage_one")
    config.evaluation.threshold_boxes = "object_prior"
    config.export.row = "stage_one"
    without = {"phase.stage_one.options.object_prior": False, "phase.stage_one.losses.pseudo_mask": REMOVED}
    variants.Trainer(config, "nowhere").check(["cam"], [{}, without])
