"""Studies from training to the report, on an experiment that trains in seconds."""
import csv
import html.parser
import os
import re

import numpy as np
import pytest
from PIL import Image

from ornet_tf import registry, reproduce
from ornet_tf.reproduction import make_studies
from ornet_tf.reproduction.study import LEFT_OUT
from ornet_tf.runs import run_folder
from tests import tiny_experiment

NAMES, SEEDS = ["fig4", "fig11b"], [0, 1]
FACTORS = (0.0, 1.0)  # of fig11b; the whole grid takes minutes to train. 1.0 is the unchanged experiment


def tiny():
    config = tiny_experiment.get_config()
    config.backbone.options.blocks = ((4,), (6,), (8,))  # many networks are built and traced here
    config.generator.depth = 1
    for phase in config.phase.values():
        phase.epochs = 0.34
    config.training.summary_images = 0  # drawing them takes longer than training
    config.evaluation.update({"bootstrap_samples": 50, "threshold_split": "", "gallery_images": 1})
    config.evaluation.report_rows = ("stage_one", "stage_two")  # the graph of each row takes seconds
    return config


@pytest.fixture(scope="module", name="workdir")
def _workdir(tmp_path_factory):
    workdir = str(tmp_path_factory.mktemp("studies"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry.find("studies", "fig11b"), "factors", FACTORS)
        make_studies.make_studies(tiny(), workdir, NAMES, SEEDS)
    return workdir


def finished(workdir):
    """Returns folder -> id of every phase that was trained, without linked folders."""
    return {
        os.path.relpath(folder, workdir): run_folder.read_finished(folder)["id"]
        for folder, _, files in os.walk(workdir)
        if "finished.json" in files
    }


@pytest.mark.slow
def test_shared_phases_are_trained_once_for_each_seed_and_equal_variants_too(workdir):
    trained = finished(workdir)
    for seed in SEEDS:
        of_seed = [path for path in trained if path.startswith(f"seed-{seed}/")]
        assert {path for path in of_seed if "/shared/" in path} == {
            f"seed-{seed}/shared/{phase}" for phase in ("evaluator", "stage_one")
        }
        variants = [path for path in of_seed if "/variants/" in path]
        assert len(variants) == len(FACTORS) and all(path.endswith("/stage_two") for path in variants)
        assert f"seed-{seed}/variants/as_configured/stage_two" in variants
        of_stage_one = run_folder.run_id(os.path.join(workdir, f"seed-{seed}", "shared"), "stage_one")
        for path in variants:
            settings = run_folder.read_json(os.path.join(workdir, path, "settings.json"))
            assert settings["starts_from"]["stage_one"] == of_stage_one and settings["seed"] == seed


@pytest.mark.slow
def test_a_second_call_trains_and_evaluates_nothing(workdir):
    def evaluation_times():
        return {
            folder: os.stat(os.path.join(folder, "result.json")).st_mtime_ns
            for folder, _, files in os.walk(workdir)
            if "result.json" in files
        }

    before = finished(workdir), evaluation_times()
    assert len(before[1]) == len(SEEDS) * (1 + len(FACTORS))
    make_studies.make_studies(tiny(), workdir, ["fig4"], SEEDS)
    assert (finished(workdir), evaluation_times()) == before


def read_table(workdir, name):
    with open(os.path.join(workdir, "report", name), encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_results(workdir, folder, row):
    paths = [os.path.join(workdir, f"seed-{seed}", folder, "evaluation", "result.json") for seed in SEEDS]
    return [run_folder.read_json(path)["rows"][row]["tight"] for path in paths]


@pytest.mark.slow
def test_tables_hold_the_results_of_the_evaluations(workdir):
    stage_one, stage_two = read_table(workdir, "fig4.csv")
    for line, folder, row in ((stage_one, "shared", "stage_one"), (stage_two, "variants/as_configured", "stage_two")):
        values = [figures["corloc"] for figures in read_results(workdir, folder, row)]
        assert float(line["corloc"]) == pytest.approx(np.mean(values))
        assert (float(line["corloc_high"]) - float(line["corloc_low"])) / 2 == pytest.approx(np.std(values, ddof=1))
    difference, = read_table(workdir, "fig4_differences.csv")
    one = read_results(workdir, "shared", "stage_one")[1]["corloc"]
    two = read_results(workdir, "variants/as_configured", "stage_two")[1]["corloc"]
    assert float(difference["seed_1"]) == pytest.approx(one - two)
    for line in read_table(workdir, "fig11b_failures.csv"):
        assert sum(float(value) for key, value in line.items() if key != "label") == pytest.approx(100)
    for column in ("stage one", "stage two"):
        assert sum(float(line[column]) for line in read_table(workdir, "fig4_histograms.csv")) == pytest.approx(100)
    curve = [float(line["stage two"]) for line in read_table(workdir, "fig4_thresholds.csv")]
    both = [figures["corloc_by_threshold"] for figures in read_results(workdir, "variants/as_configured", "stage_two")]
    np.testing.assert_allclose(curve, np.mean(both, axis=0))


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
    assert [a["id"] for tag, a in page.tags if tag == "section"] == sorted(NAMES)
    assert all(a["src"].startswith("data:image/") for tag, a in page.tags if tag == "img")
    assert sum(tag == "img" for tag, _ in page.tags) == 2 * 5
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}
    assert not re.search(r"https?://|url\(|@import", text)
    for name in NAMES:
        with Image.open(os.path.join(workdir, "report", f"{name}.png")) as image:
            assert image.width > 500
        assert os.path.getsize(os.path.join(workdir, "report", f"{name}.md")) > 500


@pytest.mark.parametrize("name", LEFT_OUT)
def test_an_omitted_study_is_refused_with_the_reason(name):
    with pytest.raises(ValueError, match=f"--what={name}: .* not known .* paper"):
        reproduce.parse_studies(["fig4", name])


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


def test_a_missing_loss_term_is_reported_before_training(tmp_path):
    config = tiny()
    del config.phase.stage_two.losses["area"]
    with pytest.raises(ValueError, match="config.phase.stage_two.losses: .* area"):
        make_studies.make_studies(config, str(tmp_path), ["fig4", "fig11b"], [0])
    assert not os.listdir(tmp_path)
