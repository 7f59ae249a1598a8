import os
import shutil

import pytest
import tensorflow as tf

import ornet_tf
from ornet_tf import config as ornet
from ornet_tf.data import loading
from ornet_tf.inference import provenance
from ornet_tf.runs import code_version, run_folder


@pytest.fixture(name="workdir")
def _workdir(tiny_run, tmp_path):
    shutil.copytree(tiny_run[1], tmp_path / "run", ignore=shutil.ignore_patterns("export", "evaluation"))
    return str(tmp_path / "run")


def test_provenance_describes_the_run(tiny_run, workdir):
    config = tiny_run[0].copy_and_resolve_references()
    config.evaluation.update({"threshold": 0.37, "box_rule": "largest"})
    config.export.update({"max_boxes": 4, "split_boxes": True, "min_box_score": 0.2, "optimize_for": "cpu"})
    facts = provenance.describe_run(config, workdir)
    assert (facts["threshold"], facts["box_rule"], facts["max_boxes"]) == (0.37, "largest", 4)
    assert facts["split_boxes"] is True and facts["optimized_for"] == "cpu" and facts["min_box_score"] == 0.2
    assert facts["map_extent"] == loading.view_extent(config)
    assert facts["data"] == {"name": "toybirds", **run_folder.read_json(os.path.join(workdir, "data.json"))}
    assert {name: phase["steps"] for name, phase in facts["phases"].items()} == dict.fromkeys(config.phase_order, 6)
    assert {phase["commit"] for phase in facts["phases"].values()} == {code_version.commit()}
    assert facts["config"] == config.to_dict()
    assert (facts["ornet_tf"], facts["tensorflow"]) == (ornet_tf.__version__, tf.__version__)
    run_folder.write_json(os.path.join(workdir, "facts.json"), facts)  # raises unless the values fit JSON


def test_unfinished_phases_are_left_out(tiny_run, workdir):
    os.remove(os.path.join(workdir, "stage_two", "finished.json"))
    assert set(provenance.describe_run(tiny_run[0], workdir)["phases"]) == {"evaluator", "stage_one"}


def test_an_export_is_made_for_the_device_of_its_machine_unless_the_config_says_more(monkeypatch):
    config = ornet.default()
    for devices, kind in (([], "cpu"), (["GPU:0"], "gpu")):
        monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind, devices=devices: devices)
        config.export.optimize_for = "auto"
        assert provenance.device_to_optimize_for(config) == kind
        for kind in ("cpu", "gpu"):
            config.export.optimize_for = kind
            assert provenance.device_to_optimize_for(config) == kind
