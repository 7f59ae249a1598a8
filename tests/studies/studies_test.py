"""All studies: their rows and variants fit the experiments, and their tables and pictures show the results."""
import numpy as np
import pytest
import tensorflow as tf

from configs import cub, cub10, imagenet, rivals_toybirds, toybirds
from ornet_tf import randomness, registry
from ornet_tf.config_check import validate
from ornet_tf.reproduction import variants
from ornet_tf.reproduction.contents import Table
from ornet_tf.reproduction.study import LEFT_OUT, REMOVED, Results
from ornet_tf.studies import fig7
from tests import tiny_experiment
from tests.reproduction import evaluated_folders

STUDIES = registry.choices("studies")
VARYING = [name for name in STUDIES if registry.find("studies", name)().variants(toybirds.get_config())]
OF_THE_PAPER = [
    *(f"table{n}" for n in (1, 2, 3, 4)), *(f"fig{n}" for n in (2, 3, 4, 6, 7, 8, 9, 10, "11a", "11b", "11c")),
]  # fmt: skip


def study(name):
    return registry.find("studies", name)()


def test_every_table_and_figure_of_the_paper_is_a_study_or_left_out_with_a_reason():
    assert {*STUDIES} == {*OF_THE_PAPER, "erasing_strategies", "stage_two_epochs"}
    assert {*LEFT_OUT} == {"fig1", "fig5"}


def test_studies_that_measure_localization_need_boxes():
    measuring = {"table3", "table4", "fig9", "fig11a", "fig11b", "fig11c", "erasing_strategies", "stage_two_epochs"}
    assert {name for name in STUDIES if study(name).needs_boxes} == measuring


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("experiment", [toybirds, cub10, tiny_experiment, rivals_toybirds, cub, imagenet])
def test_rows_and_variants_are_valid_and_variants_differ_in_one_phase(name, experiment, monkeypatch):
    monkeypatch.setenv("ORNET_CUB10", "somewhere")
    monkeypatch.setenv("ORNET_VGG16", "somewhere")
    config = experiment.get_config()
    before = config.to_json_best_effort(sort_keys=True)
    changes_by_label = study(name).variants(config)
    variants.Trainer(config, "nowhere").check(study(name).rows(config).values(), changes_by_label.values())
    assert config.to_json_best_effort(sort_keys=True) == before
    assert study(name).rows(config) or changes_by_label
    for changes in changes_by_label.values():
        assert all(path.startswith("phase.stage_two.") for path in changes)


@pytest.mark.parametrize("name", VARYING)
def test_variants_differ_and_one_is_the_unchanged_experiment(name):
    config = toybirds.get_config()
    ids = [variants.variant_id(config, changes) for changes in study(name).variants(config).values()]
    weights = 1 if name == "fig11a" else 0  # the configured alpha and the configured beta
    assert len({*ids}) == len(ids) - weights and ids.count(variants.EXPERIMENT) == 1 + weights


@pytest.mark.parametrize("name", [name for name in STUDIES if name not in ("table1", "table2")])
def test_an_experiment_without_stage_two_is_refused(name):
    config = toybirds.get_config()
    config.phase_order = ("evaluator", "stage_one")
    with pytest.raises(ValueError, match="config.phase_order: .* stage_two"):
        study(name).rows(config), study(name).variants(config)


def varied_stage_two(name, label):
    """Returns stage two's options in one variant of a study."""
    config = toybirds.get_config()
    return variants.vary(config, study(name).variants(config)[label]).phase.stage_two


def test_table3_has_the_nine_lines_of_the_paper_and_removes_what_a_label_does_not_name():
    labels = study("table3").variants(toybirds.get_config())
    assert len(labels) == 8 and list(study("table3").rows(toybirds.get_config())) == ["stage one"]
    for label in labels:
        phase = varied_stage_two("table3", label)
        assert ("entropy" in phase.losses) == ("L_w" in label)
        assert ("area" in phase.losses) == ("L_a" in label)
        assert (phase.options.erasing == "attentive") == ("AE" in label)
        assert "evaluation" in phase.losses and "agreement" in phase.losses


def test_table4_changes_the_plugin_of_the_entropy_and_nothing_else():
    plain = varied_stage_two("table4", "L_e + beta L_a + AE + alpha L_h").losses.entropy
    assert plain.plugin == "entropy" and plain.weight == 1.5 and plain.ramp == 0.5
    whole = varied_stage_two("table4", "L_e + beta L_a + AE + alpha L_w")
    assert whole.to_dict() == toybirds.get_config().phase.stage_two.to_dict()


@pytest.mark.parametrize("name", ["table3", "table4", "erasing_strategies"])
def test_labels_with_attentive_erasing_need_an_experiment_that_erases_attentively(name):
    config = toybirds.get_config()
    options = config.phase.stage_two.options
    options.erasing_options.probability = 0.0
    with pytest.raises(ValueError, match=r"stage_two.options.erasing_options.probability: expected more .* got 0; set"):
        study(name).variants(config)
    del options.erasing_options["probability"]
    for erasing in ("random", None):
        with options.ignore_type():
            options.erasing = erasing
        with pytest.raises(ValueError, match=f"stage_two.options.erasing: expected 'attentive', .* got {erasing!r}; "):
            study(name).variants(config)


def test_fig6_leaves_out_the_entropy_and_keeps_area_and_erasing():
    phase = varied_stage_two("fig6", "(a) without the entropy loss")
    assert "entropy" not in phase.losses and "area" in phase.losses and phase.options.erasing == "attentive"


def test_all_erasing_strategies_get_the_configured_options_that_they_know():
    configured = toybirds.get_config().phase.stage_two.options.erasing_options
    thresholds = {"candidate_threshold", "candidate_depth"}
    known = {"random": {"side"}, "restricted_rectangle": {"side", *thresholds},
             "above_threshold": thresholds, "attentive": {*configured}}  # fmt: skip
    for name, keys in known.items():
        options = varied_stage_two("erasing_strategies", name).options
        assert options.erasing == name and {*options.erasing_options} == keys & {*configured}
        assert all(options.erasing_options[key] == configured[key] for key in options.erasing_options)


def test_fig7_erases_candidates_in_the_rectangle_and_attentive_erasing_some_of_them():
    rows, columns = np.mgrid[:14, :14] / 13
    activation_map = np.exp(-4 * ((rows - 0.5) ** 2 + (columns - 0.4) ** 2))[..., np.newaxis].astype(np.float32)
    config = toybirds.get_config()
    config.phase.stage_two.options.erasing_options = {"side": (0.4, 0.4)}
    key = randomness.key(0, tf.constant(0, tf.int64), tf.constant([0], tf.int64))
    erased = fig7.erased_pixels(activation_map, key, config)
    assert list(erased) == ["random", "above_threshold", "restricted_rectangle", "attentive"]
    candidates = activation_map[..., 0] > 0.5
    np.testing.assert_array_equal(erased["above_threshold"], candidates)
    rectangle, attentive = erased["restricted_rectangle"], erased["attentive"]
    assert not (rectangle & ~candidates).any() and not (attentive & ~rectangle).any()
    assert 0 < attentive.sum() < rectangle.sum() < candidates.sum() < candidates.size
    assert (erased["random"] & ~candidates).any()


def test_fig7_shows_erased_pixels_that_were_zero_before():
    key = randomness.key(0, tf.constant(0, tf.int64), tf.constant([0], tf.int64))
    config = toybirds.get_config()
    empty = np.zeros([14, 14, 1], np.float32)
    nearly_empty = np.full_like(empty, 1e-3)
    erased, expected = (fig7.erased_pixels(m, key, config)["random"] for m in (empty, nearly_empty))
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(erased, expected)


def test_fig11a_varies_one_weight_around_the_configured_one():
    weights = study("fig11a").variants(toybirds.get_config())
    alpha = [f"alpha = {weight:g}" for weight in (0, 0.5, 1, 1.5, 2, 3)]
    assert list(weights) == [*alpha, *(f"beta = {weight:g}" for weight in (0, 0.25, 0.5, 1, 2, 4))]
    assert weights["alpha = 0"] == {"phase.stage_two.losses.entropy": REMOVED}
    changed = varied_stage_two("fig11a", "beta = 4").losses
    assert changed.area.weight == 4 and changed.entropy.weight == 1.5
    config = toybirds.get_config()
    del config.phase.stage_two.losses["area"]
    with pytest.raises(ValueError, match="config.phase.stage_two.losses: .* area, .* got 0"):
        study("fig11a").variants(config)


def test_stage_two_epochs_shortens_the_configured_schedule():
    config = toybirds.get_config()
    epochs = config.phase.stage_two.epochs
    labels = study("stage_two_epochs").variants(config)
    assert list(labels) == [f"epochs = {epochs * share:g}" for share in (0.125, 0.25, 0.5, 1)]
    for label in labels:
        assert varied_stage_two("stage_two_epochs", label).epochs == float(label.split()[-1])


def test_fig2_shows_adl_where_the_experiment_trains_it():
    assert study("fig2").rows(rivals_toybirds.get_config()) == {"CAM": "cam", "ADL": "adl", "ORNet": "stage_two"}
    assert study("fig2").rows(toybirds.get_config()) == {"CAM": "cam", "ORNet": "stage_two"}


def test_rows_are_found_by_their_method_whatever_their_name():
    config = toybirds.get_config()
    config.phase["refinement"] = config.phase.stage_two
    del config.phase["stage_two"]
    config.phase_order = ("evaluator", "stage_one", "refinement")
    config.export.row, config.evaluation.report_rows = "refinement", ("cam", "refinement")
    validate(config)
    assert study("fig11b").rows(config) == {"CAM": "cam", "stage one": "stage_one", "stage two": "refinement"}
    assert study("table1").rows(config) == {"cam": "cam", "refinement": "refinement"}
    config.evaluation.report_rows = ()
    with pytest.raises(ValueError, match="config.evaluation.report_rows: expected rows"):
        study("table1").rows(config)


def test_maps_of_the_true_label_do_not_take_the_place_of_cam():
    config = toybirds.get_config()
    config.evaluation.report_rows = ("cam_true_label", "stage_two")
    assert study("fig11b").rows(config)["CAM"] == "cam"
    del config.evaluation.row["cam"]
    assert "CAM" not in study("fig11b").rows(config)
    assert study("table1").rows(config) == {"cam true label": "cam_true_label", "stage two": "stage_two"}


def show(name, tmp_path, rows, labels=()):
    """Returns tables and pictures by name; each outcome has two images, and one is right in the last outcome only."""
    last = [*rows, *labels][-1]

    def outcome(label, row):
        rights = [[int(label == last), 0]]
        return evaluated_folders.outcome(label, tmp_path, rights, row=row, locerr_top1=70.0)

    config = toybirds.get_config()
    config.evaluation.gallery_images = 0
    results = Results(
        config,
        {label: outcome(label, row) for label, row in rows.items()},
        {label: outcome(label, "stage_two") for label in labels},
    )
    items = study(name).show(results)
    return {i.name: i for i in items if isinstance(i, Table)}, {i.name: i for i in items if not isinstance(i, Table)}


@pytest.mark.parametrize(("name", "of_paper", "lines"), [("table1", "86.2", 16), ("table2", "68.27", 16)])
def test_tables_1_and_2_set_measured_and_quoted_lines_apart(name, of_paper, lines, tmp_path):
    rows = {"cam": "cam", "label": "cam_true_label", "stage one": "stage_one", "stage two": "stage_two"}
    tables, pictures = show(name, tmp_path, rows)
    assert list(tables)[:2] == ["beside_paper", "quoted"] and len(tables["quoted"].lines) == lines
    cam, of_label, stage_one, stage_two = tables["beside_paper"].lines
    assert stage_two[0] == "stage two" and stage_two[-2:] == ["50.0 [45.0, 55.0]", of_paper]
    assert stage_one[2::2] == of_label[2::2] == ["-"] * 5 and "bars" in pictures
    assert cam[-2].startswith("0.0") and cam[4] == {"table1": "7.5", "table2": "12.2"}[name]
    assert "stage two: in the paper ORNet-VGG16." in tables["beside_paper"].notes
    assert "“stage two”" in tables["differences"].title


@pytest.mark.parametrize("name", ["table3", "table4"])
def test_tables_3_and_4_have_the_lines_of_the_paper_beside_its_figures(name, tmp_path):
    config = toybirds.get_config()
    tables, pictures = show(name, tmp_path, study(name).rows(config), study(name).variants(config))
    table = tables["beside_paper"]
    assert table.head == ["", "LocErr top-1", "paper", "LocErr top-5", "paper", "CorLoc", "paper"]
    assert table.lines[-1][1:] == ["70.0", "32.26", "-", "19.23", "50.0 [45.0, 55.0]", "86.19"]
    assert len(table.notes) == 1 and len(table.lines) == {"table3": 9, "table4": 2}[name]
    assert table.lines[0][-1] == {"table3": "64.52", "table4": "72.89"}[name] and "bars" in pictures


@pytest.mark.parametrize("name", ["erasing_strategies", "stage_two_epochs", "fig11a"])
def test_other_comparisons_have_a_figure_and_details(name, tmp_path):
    config = toybirds.get_config()
    tables, pictures = show(name, tmp_path, study(name).rows(config), study(name).variants(config))
    assert list(tables) == ["figures", "differences", "failures", "thresholds", "histograms"]
    assert list(pictures)[0] in ("bars", "curve", "curves")
    reference = {"erasing_strategies": "attentive", "stage_two_epochs": "epochs = 3.2", "fig11a": "alpha = 1.5"}[name]
    assert f"“{reference}”" in tables["differences"].title
