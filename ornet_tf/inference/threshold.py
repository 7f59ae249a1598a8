"""The threshold on the map that predict and export draw boxes at: where it is decided."""
from __future__ import annotations

import os

from ml_collections import ConfigDict

from ornet_tf.errors import UserError
from ornet_tf.runs import run_folder


def decide_threshold(config: ConfigDict, workdir: str) -> float:
    """Returns the threshold on the map that predict and export draw boxes at (config.export.threshold).

    Raises:
      UserError: if it is to be the chosen one and no evaluation of the run has chosen one.
    """
    if config.export.threshold == "fixed":
        return config.evaluation.threshold
    chosen, _ = _chosen_threshold(config, workdir)
    if chosen is None:
        raise UserError(
            f"config.export.threshold: expected an evaluation of the weights in {workdir} with "
            f"config.evaluation.threshold_split set, which chooses one for {config.export.row} and "
            f"{config.evaluation.box_rule}; got none. Evaluate first, or set it to 'fixed'."
        )
    return chosen


def _chosen_threshold(config: ConfigDict, workdir: str) -> tuple[float | None, str | None]:
    """Returns the threshold that the last evaluation of these weights has chosen, if any, and on which split."""
    path = os.path.join(workdir, "evaluation", "result.json")
    result = run_folder.read_json(path) if os.path.exists(path) else {}
    # A phase may have been trained again since.
    if result.get("trained") != {name: run_folder.run_id(workdir, name) for name in config.phases}:
        return None, None
    summary = result["rows"].get(config.export.row, {}).get(config.evaluation.box_rule, {})
    return summary.get("threshold_chosen"), result["threshold_split"]


def explain_threshold(config: ConfigDict, workdir: str) -> str:
    """Says where the threshold comes from, and what the last evaluation made of it, if there was one."""
    chosen, split = _chosen_threshold(config, workdir)
    if config.export.threshold == "chosen":
        return f"the best one on the split {split} (config.export.threshold)"
    text = "set in the config (config.evaluation.threshold)"
    if split is None:
        return f"{text}; not compared with others, as these weights were not evaluated"
    if chosen is None:
        return f"{text}; not compared with others on a split of its own"
    return f"{text}; the best one on the split {split} was {chosen}"
