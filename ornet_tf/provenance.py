"""Where an export comes from: what it was trained on and with, and by what rule its boxes are drawn."""
from __future__ import annotations

import datetime
import os
import subprocess
from typing import Any

import tensorflow as tf
from ml_collections import ConfigDict

import ornet_tf
from ornet_tf import run_folder, training_data
from ornet_tf.errors import UserError

FILE = "provenance.json"


def of_run(config: ConfigDict, workdir: str) -> dict[str, Any]:
    """Returns what there is to say of an export of the run in `workdir`: a JSON object.

    Raises:
      UserError: if a file of the run can't be read.
    """
    evaluation = config.evaluation
    ends = {name: run_folder.end(os.path.join(workdir, name)) for name in config.phases}
    return {
        "threshold": threshold(config, workdir),
        "threshold_chosen": _choice_of_threshold(config, workdir),
        "box_rule": evaluation.box_rule,
        "max_boxes": config.export.max_boxes,
        "row": config.export.row,
        "data": {"name": config.dataset.name, **training_data.read(workdir)},
        "phases": {name: end for name, end in ends.items() if end},
        "config": config.to_dict(),
        "ornet_tf": ornet_tf.__version__,
        "commit": commit(),
        "tensorflow": tf.__version__,
        "exported": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def threshold(config: ConfigDict, workdir: str) -> float:
    """Returns the threshold on the map that predict and export draw boxes at (config.export.threshold).

    Raises:
      UserError: if it is to be the chosen one and no evaluation of the run has chosen one.
    """
    if config.export.threshold == "fixed":
        return config.evaluation.threshold
    chosen, _ = _chosen(config, workdir)
    if chosen is None:
        raise UserError(
            f"config.export.threshold: expected an evaluation of the weights in {workdir} with "
            f"config.evaluation.threshold_split set, which chooses one for {config.export.row} and "
            f"{config.evaluation.box_rule}; got none. Evaluate first, or set it to 'fixed'."
        )
    return chosen


def _chosen(config: ConfigDict, workdir: str) -> tuple[float | None, str | None]:
    """Returns the threshold that the last evaluation of these weights has chosen, if any, and on which split."""
    path = os.path.join(workdir, "evaluation", "result.json")
    result = run_folder.read_json(path) if os.path.exists(path) else {}
    # A phase may have been trained again since.
    if result.get("trained") != {name: run_folder.run_id(workdir, name) for name in config.phases}:
        return None, None
    summary = result["rows"].get(config.export.row, {}).get(config.evaluation.box_rule, {})
    return summary.get("threshold_chosen"), result["threshold_split"]


def _choice_of_threshold(config: ConfigDict, workdir: str) -> str:
    """Says where the threshold comes from, and what the last evaluation made of it, if there was one."""
    chosen, split = _chosen(config, workdir)
    if config.export.threshold == "chosen":
        return f"the best one on the split {split} (config.export.threshold)"
    text = "set in the config (config.evaluation.threshold)"
    if split is None:
        return f"{text}; not compared with others, as these weights were not evaluated"
    if chosen is None:
        return f"{text}; not compared with others on a split of its own"
    return f"{text}; the best one on the split {split} was {chosen}"


def commit() -> str:
    """Returns the commit of this code, with "-dirty" if it was changed since; empty where it is no checkout."""
    folder, name = os.path.split(os.path.abspath(__file__))

    def git(*arguments):
        command = ["git", "-C", folder, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", name)  # installed code can lie within the checkout of something else
        return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.SubprocessError):
        return ""
