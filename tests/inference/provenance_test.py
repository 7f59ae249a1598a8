import os
import shutil
import subprocess
import sys

import pytest
import tensorflow as tf

import ornet_tf
from ornet_tf.inference import provenance, threshold
from ornet_tf.runs import code_version, run_folder
from tests import source_tree


@pytest.fixture(name="workdir")
def _workdir(tiny_run, tmp_path):
    shutil.copytree(tiny_run[1], tmp_path / "run", ignore=shutil.ignore_patterns("export", "evaluation"))
    return str(tmp_path / "run")


def test_facts_are_those_of_the_run(tiny_run, workdir):
    config = tiny_run[0].copy_and_resolve_references()
    config.evaluation.update({"threshold": 0.37, "box_rule": "largest"})
    config.export.max_boxes = 4
    facts = provenance.describe_run(config, workdir)
    assert (facts["threshold"], facts["box_rule"], facts["max_boxes"]) == (0.37, "largest", 4)
    assert facts["data"] == {"name": "toybirds", **run_folder.read_json(os.path.join(workdir, "data.json"))}
    assert {name: phase["steps"] for name, phase in facts["phases"].items()} == dict.fromkeys(config.phases, 6)
    assert {phase["commit"] for phase in facts["phases"].values()} == {code_version.commit()}
    assert facts["config"] == config.to_dict()
    assert (facts["ornet_tf"], facts["tensorflow"]) == (ornet_tf.__version__, tf.__version__)
    run_folder.write_json(os.path.join(workdir, "facts.json"), facts)  # it is JSON


def write_result(config, workdir, threshold_split, figures):
    """Writes what an evaluation of the run's weights writes, as far as it is read here."""
    result = {
        "trained": {name: run_folder.run_id(workdir, name) for name in config.phases},
        "threshold_split": threshold_split,
        "rows": {"stage_two": figures},
    }
    run_folder.write_json(os.path.join(workdir, "evaluation", "result.json"), result)


def test_how_the_threshold_was_chosen_is_said_as_it_was(tiny_run, workdir):
    config = tiny_run[0]

    def said():
        return provenance.describe_run(config, workdir)["threshold_chosen"]

    in_config = "set in the config (config.evaluation.threshold)"
    assert said() == f"{in_config}; not compared with others, as these weights were not evaluated"
    write_result(config, workdir, "", {"tight": {"corloc": 1.0}})
    assert said().endswith("not compared with others on a split of its own")
    chosen = {"tight": {"threshold_chosen": 0.35}, "largest": {"threshold_chosen": 0.4}}
    write_result(config, workdir, "validation", chosen)
    assert said().endswith("; the best one on the split validation was 0.35")
    run_folder.mark_finished(os.path.join(workdir, "stage_two"), steps=6)  # as if it had been trained again
    assert said() == f"{in_config}; not compared with others, as these weights were not evaluated"


def test_the_chosen_threshold_is_the_one_of_the_row_and_rule_that_are_exported(tiny_run, workdir):
    config = tiny_run[0].copy_and_resolve_references()
    assert threshold.decide_threshold(config, workdir) == config.evaluation.threshold
    config.export.threshold = "chosen"
    with pytest.raises(ValueError, match="threshold_split set, which chooses one for stage_two and tight; got none"):
        threshold.decide_threshold(config, workdir)
    chosen = {"tight": {"threshold_chosen": 0.35}, "largest": {"threshold_chosen": 0.4}}
    write_result(config, workdir, "validation", chosen)
    facts = provenance.describe_run(config, workdir)
    assert (facts["threshold"], threshold.decide_threshold(config, workdir)) == (0.35, 0.35)
    assert facts["threshold_chosen"] == "the best one on the split validation (config.export.threshold)"
    config.evaluation.box_rule = "largest"
    assert threshold.decide_threshold(config, workdir) == 0.4


def test_phases_that_are_not_finished_are_left_out(tiny_run, workdir):
    os.remove(os.path.join(workdir, "stage_two", "finished.json"))
    assert set(provenance.describe_run(tiny_run[0], workdir)["phases"]) == {"evaluator", "stage_one"}


def git(folder, *arguments):
    options = ["-c", "user.name=Anna", "-c", "user.email=anna@example.org"]
    command = ["git", *options, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def commit_of_copy(root):
    """Returns what a copy of the package in the folder `root` says of itself."""
    code = "from ornet_tf import provenance; print(provenance.commit())"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("git"), reason="git is not here")
def test_the_commit_is_that_of_this_code_or_none(tmp_path):
    shutil.copytree(source_tree.ROOT / "ornet_tf", tmp_path / "ornet_tf", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(source_tree.ROOT / "serving", tmp_path / "serving", ignore=shutil.ignore_patterns("__pycache__"))
    assert commit_of_copy(tmp_path) == ""  # no checkout
    git(tmp_path, "init", "--quiet")
    (tmp_path / "other").write_text("something else's checkout, with the package installed in it")
    (tmp_path / ".gitignore").write_text("ornet_tf\nserving\n__pycache__\n")
    git(tmp_path, "add", "other", ".gitignore")
    git(tmp_path, "commit", "--quiet", "--message=other")
    assert commit_of_copy(tmp_path) == ""
    modules = [f"ornet_tf/{path.name}" for path in (tmp_path / "ornet_tf").glob("*.py")]
    git(tmp_path, "add", "--force", *modules)
    git(tmp_path, "commit", "--quiet", "--message=ours")
    git(tmp_path, "tag", "v7")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert commit_of_copy(tmp_path) == commit
    with open(tmp_path / "ornet_tf" / "boxes.py", "a", encoding="utf-8") as file:
        file.write("# changed\n")
    assert commit_of_copy(tmp_path) == f"{commit}-dirty"


def test_without_git_there_is_no_commit(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert code_version.commit() == ""
