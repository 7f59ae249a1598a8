import os
import shutil

import pytest

from ornet_tf.inference import provenance, threshold
from ornet_tf.runs import run_folder


@pytest.fixture(name="workdir")
def _workdir(tiny_run, tmp_path):
    shutil.copytree(tiny_run[1], tmp_path / "run", ignore=shutil.ignore_patterns("export", "evaluation"))
    return str(tmp_path / "run")


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
