import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import demo
from ornet_tf.data import loading
from ornet_tf.inference import localizer


@pytest.mark.slow
def test_the_demo_runs_from_end_to_end_and_a_second_run_repeats_nothing(tiny_run, tmp_path):
    config = tiny_run[0].copy_and_resolve_references()
    config.evaluation.update({"report_rows": ("stage_two",), "threshold_split": ""})
    workdir = str(shutil.copytree(tiny_run[1], tmp_path / "run", ignore=shutil.ignore_patterns("export")))
    demo.main(config, workdir)
    with open(os.path.join(workdir, "rest", "answer.json"), encoding="utf-8") as file:
        answer = json.load(file)
    held_out = loading.load_split(config, "test").images[0]
    model = localizer.load(config, workdir)
    expected = model.localize(tf.constant([held_out]))
    np.testing.assert_allclose(answer["box"], expected["detection_boxes"][0, 0], atol=1e-4)
    for path in ("evaluation/table.md", "evaluation/images.png", "rest/answer.png", "rest/held_out.png"):
        assert os.path.getsize(os.path.join(workdir, path)) > 0
    before = modification_times(workdir)
    demo.main(config, workdir)
    assert modification_times(workdir) == before


def modification_times(folder):
    return {
        os.path.join(root, name): os.stat(os.path.join(root, name)).st_mtime_ns
        for root, _, names in os.walk(folder)
        for name in names
        if not name.startswith(".lock")  # written by every process that uses the folder
    }
