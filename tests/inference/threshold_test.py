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
    """Writes the parts of an evaluation's result.json that `threshold` reads."""
    result = {
        "trained": {name: run_folder.run_id(workdir, name) for name in config.phase_order},
        "threshold_split": threshold_split,
        "rows": {"stage_two": figures},
    }
    run_folder.write_json(os.path.join(workdir, "evaluation", "result.json"), result)


def test_the_explanation_compares_a_fixed_threshold_with_the_best_of_the_last_evaluation(tiny_run, workdir):
    config = tiny_run[0]

    def explanation():
        text = provenance.describe_run(config, workdir)["threshold_chosen"]
        assert text.startswith("set in the config (config.evaluation.threshold)")
        return text

    assert "not evaluated" in explanation()
    write_result(config, workdir, "", {"tight": {"corloc": 1.0}})
    assert "not compared" in explanation() and "not evaluated" not in explanation()
    chosen = {"tight": {"threshold_chosen": 0.35}, "largest": {"threshold_chosen": 0.4}}
    write_result(config, workdir, "validation", chosen)
    assert "validation was 0.35" in explanation()
    chosen["tight"]["threshold_chosen_on_pseudo_boxes"] = 0.45
    write_result(config, workdir, "validation", chosen)
    assert explanation().endswith(
        "; the best on the ground truth of the split validation was 0.35"
        "; the best on pseudo boxes of the object prior for the split validation was 0.45"
    )
    run_folder.mark_finished(os.path.join(workdir, "stage_two"), steps=6)  # as if it had been trained again
    assert "not evaluated" in explanation()


def test_the_chosen_threshold_is_that_of_the_exported_row_and_box_rule(tiny_run, workdir):
    config = tiny_run[0].copy_and_resolve_references()
    assert threshold.decide_threshold(config, workdir) == config.evaluation.threshold
    config.export.threshold = "chosen"
    message = "config.export.threshold.* stage_two and tight on the ground truth, got none.*threshold_split"
    with pytest.raises(ValueError, match=message):
        threshold.decide_threshold(config, workdir)
    chosen = {"tight": {"threshold_chosen": 0.35}, "largest": {"threshold_chosen": 0.4}}
    write_result(config, workdir, "validation", chosen)
    facts = provenance.describe_run(config, workdir)
    assert (facts["threshold"], threshold.decide_threshold(config, workdir)) == (0.35, 0.35)
    assert "split validation (config.export.threshold)" in facts["threshold_chosen"]
    config.evaluation.box_rule = "largest"
    assert threshold.decide_threshold(config, workdir) == 0.4


def test_thresholds_that_were_chosen_on_pseudo_boxes_and_on_ground_truth_are_not_mixed(tiny_run, workdir):
    config = tiny_run[0].copy_and_resolve_references()
    config.export.threshold = "chosen"
    config.evaluation.threshold_boxes = "object_prior"
    write_result(config, workdir, "train", {"tight": {"threshold_chosen": 0.35}})
    with pytest.raises(ValueError, match="stage_two and tight on pseudo boxes of the object prior, got none"):
        threshold.decide_threshold(config, workdir)
    # The images of the split have no boxes.
    figures = {"tight": {"threshold_chosen": None, "threshold_chosen_on_pseudo_boxes": 0.45}}
    write_result(config, workdir, "train", figures)
    facts = provenance.describe_run(config, workdir)
    assert facts["threshold"] == 0.45
    assert facts["threshold_chosen"] == (
        "the best threshold on pseudo boxes of the object prior for the split train (config.export.threshold)"
    )
    config.evaluation.threshold_boxes = "ground_truth"
    with pytest.raises(ValueError, match="on the ground truth, got none.*config.evaluation.threshold_boxes if"):
        threshold.decide_threshold(config, workdir)
    figures["tight"]["threshold_chosen"] = 0.35
    write_result(config, workdir, "train", figures)
    facts = provenance.describe_run(config, workdir)
    assert facts["threshold"] == 0.35
    assert facts["threshold_chosen"] == (
        "the best threshold on the ground truth of the split train (config.export.threshold); "
        "the best on pseudo boxes of the object prior for the split train was 0.45"
    )
