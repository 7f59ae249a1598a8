"""Where an export comes from: what it was trained on and with, and by what rule its boxes are drawn."""
from __future__ import annotations

import datetime
import os
import subprocess
from typing import Any

import tensorflow as tf
from ml_collections import ConfigDict

import ornet_tf
from ornet_tf import assemble, run_folder

FILE = "provenance.json"


def of_run(config: ConfigDict, workdir: str) -> dict[str, Any]:
    """Returns what there is to say of an export of the run in `workdir`: a JSON object.

    Raises:
      ValueError: if a file of the run can't be read.
    """
    evaluation = config.evaluation
    ends = {name: run_folder.end(os.path.join(workdir, name)) for name in config.phases}
    return {
        "threshold": evaluation.threshold,
        "threshold_chosen": _choice_of_threshold(config, workdir),
        "box_rule": evaluation.box_rule,
        "max_boxes": config.export.max_boxes,
        "row": config.export.row,
        "data": {"name": config.dataset.name, **assemble.read_data(workdir)},
        "phases": {name: end for name, end in ends.items() if end},
        "config": config.to_dict(),
        "ornet_tf": ornet_tf.__version__,
        "commit": commit(),
        "tensorflow": tf.__version__,
        "exported": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def _choice_of_threshold(config: ConfigDict, workdir: str) -> str:
    """Says where the threshold comes from, and what the last evaluation made of it, if there was one."""
    text = "set in the config (config.evaluation.threshold)"
    path = os.path.join(workdir, "evaluation", "result.json")
    if not os.path.exists(path):
        return f"{text}; not compared with others, as nothing was evaluated"
    result = run_folder.read_json(path)
    summary = result["rows"].get(config.export.row, {}).get(config.evaluation.box_rule, {})
    if summary.get("threshold_chosen") is None:
        return f"{text}; not compared with others on a split of its own"
    return f"{text}; the best one on the split {result['threshold_split']} was {summary['threshold_chosen']}"


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
