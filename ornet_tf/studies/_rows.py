"""Finds rows of an experiment by their method, for studies."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ornet_tf import methods, registry
from ornet_tf.errors import UserError


def find(config: Mapping[str, Any], method: str) -> str | None:
    """Returns a row of a method: its last trained phase, or else a row that is evaluated; None if there is neither.

    There is none either if the method does not work with the head of the backbone. Rows whose maps are those of the
    true label are no answer: the paper's maps are those of the predicted class.
    """
    evaluation = config["evaluation"]
    if not methods.works_with_head(registry.find("methods", method), config["backbone"]["options"].get("head")):
        return None
    if phases := _phases(config, method):
        return phases[-1]
    for name in (*evaluation["report_rows"], *sorted(evaluation["row"])):
        row = evaluation["row"].get(name)
        if not row or row["method"] != method or reads_label(row):
            continue
        if {source.split(".")[0] for source in row["init_from"].values()} <= {*config["phase_order"]}:
            return name
    return None


def reads_label(section: Mapping[str, Any]) -> bool:
    """Returns whether the maps of a row, given by its section of the configuration, are those of the true label."""
    return section["options"].get("classes") == "label"


def last_phase(config: Mapping[str, Any], method: str) -> str:
    """Returns the last trained phase of a method.

    Raises:
      UserError: if there is none.
    """
    phases = _phases(config, method)
    if not phases:
        raise UserError(
            f"config.phase_order: expected a phase of the method {method}, which the study shows or varies, got "
            f"{', '.join(config['phase_order'])}; choose an experiment that has one, such as configs/toybirds.py."
        )
    return phases[-1]


def _phases(config: Mapping[str, Any], method: str) -> list[str]:
    return [name for name in config["phase_order"] if config["phase"][name]["method"] == method]


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
    return {"stage one": last_phase(config, "stage_one"), "stage two": last_phase(config, "stage_two")}
