"""The provenance of an export: its training data, configuration, versions, threshold and box rule."""
from __future__ import annotations

import datetime
import os
from typing import Any

import tensorflow as tf
from ml_collections import ConfigDict

import ornet_tf
from ornet_tf.data import loading
from ornet_tf.inference import threshold
from ornet_tf.runs import code_version, run_folder, training_data

FILE = "provenance.json"


def describe_run(config: ConfigDict, workdir: str) -> dict[str, Any]:
    """Returns the provenance of an export of the run in `workdir`: the content of provenance.json.

    Raises:
      UserError: if a file of the run can't be read, or no threshold was chosen (see `threshold.decide_threshold`).
    """
    evaluation = config.evaluation
    finished = {name: run_folder.read_finished(os.path.join(workdir, name)) for name in config.phase_order}
    return {
        "threshold": threshold.decide_threshold(config, workdir),
        "threshold_chosen": threshold.explain_threshold(config, workdir),
        "box_rule": evaluation.box_rule,
        "max_boxes": config.export.max_boxes,
        "split_boxes": config.export.split_boxes,
        "min_box_score": config.export.min_box_score,
        "optimized_for": device_to_optimize_for(config),
        "row": config.export.row,
        "map_extent": loading.view_extent(config),
        "data": {"name": config.dataset.name, **training_data.read(workdir)},
        "phases": {name: facts for name, facts in finished.items() if facts},
        "config": config.to_dict(),
        "ornet_tf": ornet_tf.__version__,
        "commit": code_version.commit(),
        "tensorflow": tf.__version__,
        "exported": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def device_to_optimize_for(config: ConfigDict) -> str:
    """Returns config.export.optimize_for, with "auto" replaced: by "gpu" if this process has one, else by "cpu"."""
    if config.export.optimize_for != "auto":
        return config.export.optimize_for
    return "gpu" if tf.config.list_logical_devices("GPU") else "cpu"
