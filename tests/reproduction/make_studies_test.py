"""Studies from training to the report, on an experiment that trains in seconds."""
import csv
import html.parser
import os
import re

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from ornet_tf import registry, renamed, reproduce
from ornet_tf.reproduction import make_studies
from ornet_tf.reproduction.study import LEFT_OUT
from ornet_tf.runs import run_folder
from tests import tiny_experiment

SEEDS = [0, 1]
OF_ONE_SEED = [f"fig{n}" for n in (2, 3, 4, 6, 7, 8, 9, 10, "11a", "11b", "11c")]
# Of fig11a; the whole grid takes minutes to train. 1.0 is the unchanged experiment, 0.0 also the variant of fig6.
FACTORS = {"alpha": ("weighted_entropy", (0.0, 1.0))}


def tiny():
    """The tiny experiment without the area loss, so that Table 3 can't be made."""
    config = tiny_experiment.get_config()
    config.backbone.options.blocks = ((4,), (6,), (8,))  # many networks are built and traced here
    config.generator.depth = 1
    for phase in config.phase.values():
        phase.epochs = 0.34
    del config.phase.stage_two.losses["area"]
    config.phase.stage_two.options.erasing_options.candidate_threshold = 0.0  # so fig7 erases from any map
    config.training.summary_images = 0  # drawing them takes longer than training
    config.evaluation.update({"bootstrap_samples": 50, "threshold_split": "", "gallery_images": 1})
    config.evaluation.report_rows = ("stage_one", "stage_two")  # the graph of each row takes seconds
    return config


@pytest.fixture(scope="module", name="workdir")
def _workdir(tmp_path_factory):
    """A folder after two calls: the second one needs a row more, and a variant."""
    workdir = str(tmp_path_factory.mktemp("studies"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry.find("studies", "fig11a"), "factors", FACTORS)
        make_studies.make_studies(tiny(), workdir, ["table1"], SEEDS)
        make_studies.make_studies(tiny(), workdir, [*OF_ONE_SEED, "table3"], SEEDS[:1], leave_out=True)
    return workdir


def finished(workdir):
    """Returns folder -> id of every phase that was trained, without linked folders."""
    return {
        os.path.relpath(folder, workdir): run_folder.read_finished(folder)["id"]
        for folder, _, files in os.walk(workdir)
        if "finished.json" in files
    }


@pytest.mark.slow
def test_the_experiment_is_trained_once_for_each_seed_and_equal_variants_too(workdir):
    variant, *others = (path for path in finished(workdir) if "/variants/" in path)
    assert not others and variant.startswith("seed-0/") and variant.endswith("/stage_two")
    assert {*finished(workdir)} - {variant} == {
        f"seed-{seed}/as_configured/{phase}" for seed in SEEDS for phase in ("evaluator", "stage_one", "stage_two")
    }
    settings = run_folder.read_json(os.path.join(workdir, variant, "settings.json"))
    of_stage_one = run_folder.run_id(os.path.join(workdir, "seed-0", "as_configured"), "stage_one")
    assert settings["starts_from"]["stage_one"] == of_stage_one and settings["seed"] == 0


@pytest.mark.slow
def test_a_further_call_trains_and_evaluates_nothing_and_keeps_rows_that_it_does_not_need(workdir):
    def evaluation_times():
        return {
            folder: os.stat(os.path.join(folder, "result.json")).st_mtime_ns
            for folder, _, files in os.walk(workdir)
            if "result.json" in files
        }

    before = finished(workdir), evaluation_times()
    assert len(before[1]) == len(SEEDS) + 1
    make_studies.make_studies(tiny(), workdir, ["fig4", "fig7"], SEEDS)
    assert (finished(workdir), evaluation_times()) == before
    for name in ("table1", "fig4", "fig7"):
        with open(os.path.join(workdir, "report", "sections", f"{name}.html"), encoding="utf-8") as file:
            assert file.read().count("Maps are those of seed 0.") == 1
    for seed, rows in ((0, {"cam", "stage_one", "stage_two"}), (1, {"stage_one", "stage_two"})):
        path = os.path.join(workdir, f"seed-{seed}/as_configured/evaluation/result.json")
        assert {*run_folder.read_json(path)["rows"]} == rows


def read_table(workdir, name):
    with open(os.path.join(workdir, "report", name), encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_results(workdir, folder, row):
    paths = [os.path.join(workdir, f"seed-{seed}", folder, "evaluation", "result.json") for seed in SEEDS]
    return [run_folder.read_json(path)["rows"][row]["tight"] for path in paths]


@pytest.mark.slow
def test_tables_hold_the_results_of_the_evaluations(workdir):
    stage_one, stage_two = read_table(workdir, "table1.csv")
    for line, row, in_paper in ((stage_one, "stage_one", ""), (stage_two, "stage_two", "86.2")):
        values = [figures["corloc"] for figures in read_results(workdir, "as_configured", row)]
        assert float(line["corloc"]) == pytest.approx(np.mean(values)) and line["corloc_in_paper"] == in_paper
        assert (float(line["corloc_high"]) - float(line["corloc_low"])) / 2 == pytest.approx(np.std(values, ddof=1))
    variant, = os.listdir(os.path.join(workdir, "seed-0", "variants"))
    with_entropy = read_results(workdir, "as_configured", "stage_two")[0]["corloc"]
    result = os.path.join(workdir, "seed-0", "variants", variant, "evaluation", "result.json")
    without = run_folder.read_json(result)["rows"]["stage_two"]["tight"]["corloc"]
    difference, = read_table(workdir, "fig11a_differences.csv")
    assert difference["label"] == "alpha = 0" and float(difference["seed_0"]) == pytest.approx(without - with_entropy)
    for line in read_table(workdir, "fig11a_failures.csv"):
        assert sum(float(value) for key, value in line.items() if key != "label") == pytest.approx(100)
    for name in ("fig4.csv", "fig4_histograms.csv"):  # one image, all images
        for column in ("stage one", "stage two"):
            assert sum(float(line[column]) for line in read_table(workdir, name)) == pytest.approx(100)
    curve = [float(line["stage two"]) for line in read_table(workdir, "fig11b.csv")]
    of_one_seed = read_results(workdir, "as_configured", "stage_two")[0]["corloc_by_threshold"]
    np.testing.assert_allclose(curve, of_one_seed)
    curve = [float(line["stage two"]) for line in read_table(workdir, "table1_thresholds.csv")]
    both = [figures["corloc_by_threshold"] for figures in read_results(workdir, "as_configured", "stage_two")]
    np.testing.assert_allclose(curve, np.mean(both, axis=0))


@pytest.mark.slow
def test_fig6_has_the_weight_of_equation_15(workdir):
    by_value = {float(line["map value"]): line for line in read_table(workdir, "fig6.csv")}
    assert len(by_value) == 201 and min(by_value) == 0 and max(by_value) == 1
    for value, mu, sigma, weight in ((0.5, 0.5, 0.1, 1), (0.6, 0.5, 0.1, 0.60653), (0.9, 0.5, 0.2, 0.13534)):
        assert float(by_value[value][f"mu = {mu}, sigma = {sigma}"]) == pytest.approx(weight, abs=1e-4)


@pytest.mark.slow
def test_fig7_paints_erased_pixels_grey_beside_the_whole_map(workdir):
    with Image.open(os.path.join(workdir, "report", "fig7.png")) as image:
        is_grey = (np.asarray(image) == 128).all(axis=-1)[64 : 64 + 192]  # the line of maps
    whole, random, above, rectangle, attentive = (is_grey[:, 16 + 208 * i : 208 + 208 * i] for i in range(5))
    assert not whole.any() and random.any() and above.all()
    assert (rectangle & ~attentive).any() and attentive.any() and not (attentive & ~rectangle).any()


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.open, self.tags = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.slow
def test_the_page_holds_all_studies_and_loads_nothing_else(workdir):
    with open(os.path.join(workdir, "report", "index.html"), encoding="utf-8") as file:
        text = file.read()
    page = Page(text)
    assert not page.open
    figures = [f"fig{n}" for n in (*range(1, 11), "11a", "11b", "11c")]
    assert [a["id"] for tag, a in page.tags if tag == "section"] == [*figures, "table1", "table3"]
    assert all(a["src"].startswith("data:image/") for tag, a in page.tags if tag == "img")
    assert text.count("Left out: ") == 3 and "Left out: it is a diagram" in text
    assert "Left out: config.phase.stage_two.losses: expected one term of area" in text
    assert "ADL is missing: the experiment does not train it." in text
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}
    assert not re.search(r"https?://|url\(|@import", text)
    for name in ("table1", *OF_ONE_SEED):
        with Image.open(os.path.join(workdir, "report", f"{name}.png")) as image:
            assert image.width > 400
        assert os.path.getsize(os.path.join(workdir, "report", f"{name}.md")) > 200


@pytest.mark.parametrize("name", LEFT_OUT)
def test_an_omitted_study_is_refused_with_the_reason(name):
    with pytest.raises(ValueError, match=f"--what={name}: left out, as it is a diagram .* fig11a, "):
        reproduce.parse_studies(["fig4", name])


def test_a_name_that_meant_another_study_says_where_that_is(caplog):
    with caplog.at_level("INFO", logger="absl"):
        assert reproduce.parse_studies(["fig7", "fig11b"]) == ["fig7", "fig11b"]
    assert "erasing_strategies now" in caplog.text and "beta is in fig11a now" in caplog.text
    assert {*renamed.STUDIES} <= {*registry.choices("studies")}


def test_the_flags_what_and_seeds():
    assert reproduce.parse_studies(["all"]) == registry.choices("studies")
    assert reproduce.parse_studies(["fig7", "fig4", "fig7"]) == ["fig7", "fig4"]
    assert reproduce.parse_seeds(None, 4) == [4] and reproduce.parse_seeds(["0", " 2"], 4) == [0, 2]
    with pytest.raises(ValueError, match="'table33'.* 'table3'"):
        reproduce.parse_studies(["table33"])
    with pytest.raises(ValueError, match="--what: .* fig11a, "):
        reproduce.parse_studies([])
    for wrong in (["-1"], ["a"], [], ["1", ""], ["1", "1"]):
        with pytest.raises(ValueError, match="--seeds: expected"):
            reproduce.parse_seeds(wrong, 0)


def test_what_the_experiment_lacks_is_reported_before_training(tmp_path):
    config = tiny()
    with pytest.raises(ValueError, match="config.phase.stage_two.losses: .* area"):
        make_studies.make_studies(config, str(tmp_path), ["fig4", "table3"], [0])
    config.phase_order = ("evaluator", "stage_one")
    with pytest.raises(ValueError, match="got none. fig4: config.phase_order: .* stage_two.* fig1: it is a diagram"):
        make_studies.make_studies(config, str(tmp_path), ["fig4", "table3"], [0], leave_out=True)
    assert not os.listdir(tmp_path)


def test_a_study_that_needs_boxes_is_refused_before_training_where_no_evaluated_image_has_one(tmp_path):
    config, images, workdir = tiny(), tmp_path / "images", tmp_path / "studies"
    (images / "test" / "wren").mkdir(parents=True)
    (images / "test" / "wren" / "1.jpg").touch()
    (images / "train" / "wren").mkdir(parents=True)
    (images / "train" / "wren" / "2.jpg").touch()
    config.dataset = ConfigDict({"name": "image_folder", "options": {"root": str(images)}})
    message = "config.dataset: expected boxes in the test split of image_folder, .* got none; add boxes, or "
    with pytest.raises(ValueError, match=f"--what=table4,fig11b: {message}"):
        make_studies.make_studies(config, str(workdir), ["table4", "fig4", "fig11b"], [0])
    with pytest.raises(ValueError, match=f"got none. fig11b: {message}"):
        make_studies.make_studies(config, str(workdir), ["fig11b"], [0], leave_out=True)
    assert not workdir.exists()


def test_a_folder_of_an_earlier_version_is_refused_before_training(tmp_path):
    (tmp_path / "seed-1" / "shared").mkdir(parents=True)
    expected = "--workdir: expected .*seed-1/as_configured, got .*seed-1/shared, .*; set another --workdir, or remove "
    with pytest.raises(ValueError, match=expected):
        make_studies.make_studies(tiny(), str(tmp_path), ["fig4"], [0, 1], leave_out=True)
    assert os.listdir(tmp_path) == ["seed-1"] and os.listdir(tmp_path / "seed-1") == ["shared"]
