"""Finds rows of an experiment by their method, for studies."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ornet_tf import methods, registry
from ornet_tf.errors import UserError


def find(config: Mapping[str, Any], method: str) -> str | None:
    """Returns a row of a method: its last trained phase, or else a row that is evaluated; None if there is neither.

    There is none either if the method does not work with the head of the backbone.
    """
    phases, evaluation = config["phase_order"], config["evaluation"]
    if not methods.works_with_head(registry.find("methods", method), config["backbone"]["options"].get("head")):
        return None
    for name in reversed(phases):
        if config["phase"][name]["method"] == method:
            return name
    for name in (*evaluation["report_rows"], *sorted(evaluation["row"])):
        row = evaluation["row"].get(name)
        if row and row["method"] == method and {s.split(".")[0] for s in row["init_from"].values()} <= {*phases}:
            return name
    return None


def require(config: Mapping[str, Any], method: str) -> str:
    """Returns the row that `find` finds.

    Raises:
      UserError: if there is none.
    """
    name = find(config, method)
    if name is None:
        raise UserError(
            f"config.phase_order: expected a phase or a row of the method {method}, which the study shows, got "
            f"{', '.join(config['phase_order'])}; choose an experiment that has one, such as configs/toybirds.py."
        )
    return name


def classifier_map(config: Mapping[str, Any]) -> dict[str, str]:
    """Returns label -> row of CAM, or of Grad-CAM where CAM does not work with the head of the backbone.

    It is empty if the experiment has neither.
    """
    for label, method in (("CAM", "cam"), ("Grad-CAM", "grad_cam")):
        if row := find(config, method):
            return {label: row}
    return {}


def both_stages(config: Mapping[str, Any]) -> dict[str, str]:
    """Returns label -> row of stage one and stage two.

    Raises:
      UserError: if the experiment lacks one.
    """
    return {"stage one": require(config, "stage_one"), "stage two": require(config, "stage_two")}
