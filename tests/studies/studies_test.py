"""What all studies have in common: their variants are experiments of their own, and they draw what came out."""
import pytest

from configs import cub10, toybirds
from ornet_tf import registry
from ornet_tf.config_check import validate
from ornet_tf.reproduction import variants
from ornet_tf.reproduction.study import LEFT_OUT, REMOVED
from tests import tiny_experiment

STUDIES = registry.choices("studies")


@pytest.mark.parametrize("name", registry.choices("studies"))
@pytest.mark.parametrize("experiment", [toybirds, cub10, tiny_experiment])
def test_every_variant_is_an_experiment_that_differs_from_the_others(name, experiment, monkeypatch):
    monkeypatch.setenv("ORNET_CUB10", "somewhere")
    monkeypatch.setenv("ORNET_VGG16", "somewhere")
    config, study = experiment.get_config(), registry.find("studies", name)()
    assert study.title and study.about
    before = config.to_json_best_effort(sort_keys=True)
    changes = study.variants(config)
    for of_variant in changes.values():
        validate(variants.vary(config, of_variant))
    assert len({variants.identity(config, of_variant) for of_variant in changes.values()}) == len(changes)
    assert config.to_json_best_effort(sort_keys=True) == before
    varied = f"phase.{study.phase(config)}."
    assert all(path.startswith(varied) for of_variant in changes.values() for path in of_variant)


@pytest.mark.parametrize("name", registry.choices("studies"))
def test_every_study_has_the_experiment_as_it_is_among_its_variants(name):
    config = toybirds.get_config()
    changes = registry.find("studies", name)().variants(config)
    assert "as_configured" in {variants.identity(config, of_variant) for of_variant in changes.values()}


@pytest.mark.parametrize("name", registry.choices("studies"))
def test_an_experiment_without_stage_two_is_answered_in_a_sentence(name):
    config = toybirds.get_config()
    config.phases = ("evaluator", "stage_one")
    with pytest.raises(ValueError, match="config.phases: expected a phase of the method stage_two"):
        registry.find("studies", name)().phase(config)


def varied(name, label):
    config = toybirds.get_config()
    return variants.vary(config, registry.find("studies", name)().variants(config)[label]).phase.stage_two


def test_table3_takes_out_what_its_lines_say():
    lines = registry.find("studies", "table3")().variants(toybirds.get_config())
    for label in lines:
        phase = varied("table3", label)
        is_whole = label.startswith("all")
        assert ("entropy" in phase.losses) == (is_whole or "L_w" in label)
        assert ("area" in phase.losses) == (is_whole or "L_a" in label)
        assert (phase.options.erasing == "attentive") == ("erasing" in label or is_whole)
        assert "evaluation" in phase.losses and "agreement" in phase.losses
    plain = varied("table3", "all, plain entropy").losses.entropy
    assert plain.plugin == "entropy" and plain.weight == 1.5 and plain.ramp == 0.5


def test_fig7_gives_strategies_the_same_sizes_and_thresholds():
    given = toybirds.get_config().phase.stage_two.options.erasing_options
    options = {name: varied("fig7", name).options for name in ("random", "above_threshold", "restricted_rectangle")}
    assert all(option.erasing == name for name, option in options.items())
    assert options["random"].erasing_options.to_dict() == {"side": given.side}
    assert options["restricted_rectangle"].erasing_options.to_dict() == {"side": given.side}
    assert options["above_threshold"].erasing_options.to_dict() == {"candidate_threshold": given.candidate_threshold}


def test_fig11_varies_weights_around_the_configured_one():
    weights = registry.find("studies", "fig11a")().variants(toybirds.get_config())
    assert list(weights) == [f"alpha = {weight:g}" for weight in (0, 0.5, 1, 1.5, 2, 3)]
    assert weights["alpha = 0"] == {"phase.stage_two.losses.entropy": REMOVED}
    assert varied("fig11b", "beta = 4").losses.area.weight == 4
    config = toybirds.get_config()
    del config.phase.stage_two.losses["area"]
    with pytest.raises(ValueError, match="losses: expected one term of area, which the study varies, got 0"):
        registry.find("studies", "fig11b")().variants(config)


def test_what_is_left_out_is_not_there():
    assert not {*LEFT_OUT} & {*STUDIES}
