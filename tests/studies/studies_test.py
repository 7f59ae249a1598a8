"""The variants of all studies: each is a valid experiment, different from the others."""
import pytest

from configs import cub10, toybirds
from ornet_tf import registry
from ornet_tf.config_check import validate
from ornet_tf.reproduction import variants
from ornet_tf.reproduction.study import LEFT_OUT, REMOVED
from tests import tiny_experiment

STUDIES = registry.choices("studies")


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("experiment", [toybirds, cub10, tiny_experiment])
def test_variants_are_valid_and_differ_in_the_varied_phase_only(name, experiment, monkeypatch):
    monkeypatch.setenv("ORNET_CUB10", "somewhere")
    monkeypatch.setenv("ORNET_VGG16", "somewhere")
    config, study = experiment.get_config(), registry.find("studies", name)()
    assert study.title and study.about
    before = config.to_json_best_effort(sort_keys=True)
    changes_by_label = study.variants(config)
    for changes in changes_by_label.values():
        validate(variants.vary(config, changes))
    ids = {variants.variant_id(config, changes) for changes in changes_by_label.values()}
    assert len(ids) == len(changes_by_label)
    assert config.to_json_best_effort(sort_keys=True) == before
    prefix = f"phase.{study.phase(config)}."
    assert all(path.startswith(prefix) for changes in changes_by_label.values() for path in changes)


@pytest.mark.parametrize("name", STUDIES)
def test_one_variant_is_the_unchanged_experiment(name):
    config = toybirds.get_config()
    changes_by_label = registry.find("studies", name)().variants(config)
    assert "as_configured" in {variants.variant_id(config, changes) for changes in changes_by_label.values()}


@pytest.mark.parametrize("name", STUDIES)
def test_an_experiment_without_stage_two_is_refused(name):
    config = toybirds.get_config()
    config.phase_order = ("evaluator", "stage_one")
    with pytest.raises(ValueError, match="config.phase_order: .* stage_two"):
        registry.find("studies", name)().phase(config)


def varied_stage_two(name, label):
    """Returns stage two's options in one variant of a study."""
    config = toybirds.get_config()
    return variants.vary(config, registry.find("studies", name)().variants(config)[label]).phase.stage_two


def test_table3_removes_the_parts_that_a_label_does_not_name():
    labels = registry.find("studies", "table3")().variants(toybirds.get_config())
    for label in labels:
        phase = varied_stage_two("table3", label)
        is_whole = label.startswith("all")
        assert ("entropy" in phase.losses) == (is_whole or "L_w" in label)
        assert ("area" in phase.losses) == (is_whole or "L_a" in label)
        assert (phase.options.erasing == "attentive") == ("erasing" in label or is_whole)
        assert "evaluation" in phase.losses and "agreement" in phase.losses
    plain = varied_stage_two("table3", "all, plain entropy").losses.entropy
    assert plain.plugin == "entropy" and plain.weight == 1.5 and plain.ramp == 0.5


def test_fig7_gives_all_strategies_the_same_sizes_and_thresholds():
    configured = toybirds.get_config().phase.stage_two.options.erasing_options
    names = ("random", "above_threshold", "restricted_rectangle")
    options = {name: varied_stage_two("fig7", name).options for name in names}
    assert all(option.erasing == name for name, option in options.items())
    side, threshold = {"side": configured.side}, {"candidate_threshold": configured.candidate_threshold}
    assert options["random"].erasing_options.to_dict() == side
    assert options["restricted_rectangle"].erasing_options.to_dict() == side
    assert options["above_threshold"].erasing_options.to_dict() == threshold


def test_fig11_varies_weights_around_the_configured_one():
    weights = registry.find("studies", "fig11a")().variants(toybirds.get_config())
    assert list(weights) == [f"alpha = {weight:g}" for weight in (0, 0.5, 1, 1.5, 2, 3)]
    assert weights["alpha = 0"] == {"phase.stage_two.losses.entropy": REMOVED}
    assert varied_stage_two("fig11b", "beta = 4").losses.area.weight == 4
    config = toybirds.get_config()
    del config.phase.stage_two.losses["area"]
    with pytest.raises(ValueError, match="config.phase.stage_two.losses: .* area, .* got 0"):
        registry.find("studies", "fig11b")().variants(config)


def test_stage_two_epochs_shortens_the_configured_schedule():
    config = toybirds.get_config()
    epochs = config.phase.stage_two.epochs
    labels = registry.find("studies", "stage_two_epochs")().variants(config)
    assert list(labels) == [f"epochs = {epochs * share:g}" for share in (0.125, 0.25, 0.5, 1)]
    for label in labels:
        assert varied_stage_two("stage_two_epochs", label).epochs == float(label.split()[-1])


def test_no_study_is_also_listed_as_left_out():
    assert not {*LEFT_OUT} & {*STUDIES}
