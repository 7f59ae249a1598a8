"""Decides the threshold on the activation map that predict and export use for boxes."""
from __future__ import annotations

import os

from ml_collections import ConfigDict

from ornet_tf.errors import UserError
from ornet_tf.runs import run_folder


def decide_threshold(config: ConfigDict, workdir: str) -> float:
    """Returns the threshold on the activation map, 0..1, by config.export.threshold.

    Raises:
      UserError: if that option is "chosen" and no evaluation of these weights has chosen a threshold.
    """
    if config.export.threshold == "fixed":
        return config.evaluation.threshold
    chosen, _ = _chosen_threshold(config, workdir)
    if chosen is None:
        raise UserError(
            f"config.export.threshold='chosen': expected an evaluation of the weights in {workdir} that has chosen a "
            f"threshold for {config.export.row} and {config.evaluation.box_rule}, got none. Evaluate with "
            f"config.evaluation.threshold_split set, or set config.export.threshold to 'fixed'."
        )
    return chosen


def _chosen_threshold(config: ConfigDict, workdir: str) -> tuple[float | None, str | None]:
    """Returns the threshold that the last evaluation chose and the split it used; None without such an evaluation."""
    path = os.path.join(workdir, "evaluation", "result.json")
    result = run_folder.read_json(path) if os.path.exists(path) else {}
    # A phase may have been trained again after the evaluation.
    if result.get("trained") != {name: run_folder.run_id(workdir, name) for name in config.phase_order}:
        return None, None
    summary = result["rows"].get(config.export.row, {}).get(config.evaluation.box_rule, {})
    return summary.get("threshold_chosen"), result["threshold_split"]


def explain_threshold(config: ConfigDict, workdir: str) -> str:
    """Returns a description of how the threshold was decided, with the best threshold of the last evaluation if any."""
    chosen, split = _chosen_threshold(config, workdir)
    if config.export.threshold == "chosen":
        return f"the best threshold on the split {split} (config.export.threshold)"
    text = "set in the config (config.evaluation.threshold)"
    if split is None:
        return f"{text}; not compared with other thresholds, as these weights were not evaluated"
    if chosen is None:
        return f"{text}; not compared with other thresholds on a separate split"
    return f"{text}; the best threshold on the split {split} was {chosen}"
