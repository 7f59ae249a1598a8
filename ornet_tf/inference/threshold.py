"""Decides the threshold on the activation map that predict and export use for boxes."""
from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from ornet_tf.errors import UserError
from ornet_tf.runs import run_folder

# A threshold in the figures of an evaluation -> the boxes that it was chosen on, and a preposition for their split.
_BOXES = {
    "threshold_chosen": ("the ground truth", "of"),
    "threshold_chosen_on_pseudo_boxes": ("pseudo boxes of the object prior", "for"),
}


def decide_threshold(config: ConfigDict, workdir: str) -> float:
    """Returns the threshold on the activation map, 0..1, by config.export.threshold.

    "chosen" is the one that fits the boxes of config.evaluation.threshold_boxes.

    Raises:
      UserError: if that option is "chosen" and no evaluation of these weights has chosen a threshold on these boxes.
    """
    if config.export.threshold == "fixed":
        return config.evaluation.threshold
    key = _key(config)
    chosen = _last_evaluation(config, workdir)[0].get(key)
    if chosen is None:
        raise UserError(
            f"config.export.threshold='chosen': expected an evaluation of the weights in {workdir} that has chosen a "
            f"threshold for {config.export.row} and {config.evaluation.box_rule} on {_BOXES[key][0]}, got none. "
            "Evaluate with config.evaluation.threshold_split set, and config.evaluation.threshold_boxes if its images "
            "have no boxes, or set config.export.threshold to 'fixed'."
        )
    return chosen


def _key(config: ConfigDict) -> str:
    """Returns the figure that is the chosen threshold, one of `_BOXES`."""
    on_truth, on_pseudo_boxes = _BOXES
    return on_truth if config.evaluation.threshold_boxes == "ground_truth" else on_pseudo_boxes


def _last_evaluation(config: ConfigDict, workdir: str) -> tuple[Mapping[str, Any], str | None]:
    """Returns the figures of the exported row and box rule, and the split that thresholds were chosen on.

    Without an evaluation of these weights it returns no figures and None.
    """
    path = os.path.join(workdir, "evaluation", "result.json")
    result = run_folder.read_json(path) if os.path.exists(path) else {}
    # A phase may have been trained again after the evaluation.
    if result.get("trained") != {name: run_folder.run_id(workdir, name) for name in config.phase_order}:
        return {}, None
    return result["rows"].get(config.export.row, {}).get(config.evaluation.box_rule, {}), result["threshold_split"]


def explain_threshold(config: ConfigDict, workdir: str) -> str:
    """Returns a description of how the threshold was decided, with the best thresholds of the last evaluation if any.

    It names the boxes that each threshold was chosen on.
    """
    figures, split = _last_evaluation(config, workdir)
    where = {key: f"on {boxes} {of} the split {split}" for key, (boxes, of) in _BOXES.items()}
    best = {key: figures[key] for key in _BOXES if figures.get(key) is not None}
    text = "set in the config (config.evaluation.threshold)"
    if config.export.threshold == "chosen":
        text = f"the best threshold {where[_key(config)]} (config.export.threshold)"
        best.pop(_key(config), None)
    elif split is None:
        text += "; not compared with other thresholds, as these weights were not evaluated"
    elif not best:
        text += "; not compared with other thresholds on a separate split"
    return "; ".join([text, *(f"the best {where[key]} was {threshold}" for key, threshold in best.items())])
