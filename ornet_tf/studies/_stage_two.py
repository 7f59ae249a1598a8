"""Finds the phase and the loss terms of stage two in a configuration, and builds changes of them, for studies."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ornet_tf.errors import UserError
from ornet_tf.reproduction import study_charts
from ornet_tf.reproduction.study import REMOVED


def find_phase(config: Mapping[str, Any]) -> str:
    """Returns the last phase of the method `stage_two`.

    Raises:
      UserError: if there is none.
    """
    phases = [name for name in config["phase_order"] if config["phase"][name]["method"] == "stage_two"]
    if not phases:
        raise UserError(
            f"config.phase_order: expected a phase of the method stage_two, which the study varies, got "
            f"{', '.join(config['phase_order'])}; choose an experiment that has one, such as configs/toybirds.py."
        )
    return phases[-1]


def find_entropy_term(config: Mapping[str, Any]) -> str:
    """Returns the configuration path of the entropy term, weighted or plain.

    Raises:
      UserError: unless there is exactly one such term.
    """
    return _find_term(config, "weighted_entropy", "entropy")


def find_area_term(config: Mapping[str, Any]) -> str:
    """Returns the configuration path of the area term.

    Raises:
      UserError: unless there is exactly one such term.
    """
    return _find_term(config, "area")


def _find_term(config: Mapping[str, Any], *plugins: str) -> str:
    phase = find_phase(config)
    terms = [name for name, term in config["phase"][phase]["losses"].items() if term["plugin"] in plugins]
    if len(terms) != 1:
        raise UserError(
            f"config.phase.{phase}.losses: expected one term of {' or '.join(plugins)}, which the study varies, got "
            f"{len(terms)}; choose an experiment with one."
        )
    return f"phase.{phase}.losses.{terms[0]}"


def set_erasing(config: Mapping[str, Any], strategy: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the changes that set the erasing strategy and its options; the strategy None disables erasing."""
    path = f"phase.{find_phase(config)}.options"
    return {f"{path}.erasing": strategy, f"{path}.erasing_options": dict(options)}


def remove_parts(config: Mapping[str, Any], *parts: str) -> dict[str, Any]:
    """Returns the changes that remove parts of stage two: "entropy", "area" or "erasing"."""
    changes: dict[str, Any] = {}
    for part in parts:
        if part == "erasing":
            changes.update(set_erasing(config, None, {}))
        else:
            changes[{"entropy": find_entropy_term, "area": find_area_term}[part](config)] = REMOVED
    return changes


class WeightStudy:
    """A study of the weight of one loss term; subclasses set the term and the weights."""

    about = "Multiples of the configured weight: the paper's own grid is not known. At 0 the term is left out."
    rows = ()
    phase = staticmethod(find_phase)
    title: str
    symbol: str  # of the weight, in the paper
    factors: tuple[float, ...]  # by which the configured weight is multiplied

    @staticmethod
    def term(config: Mapping[str, Any]) -> str:
        """Returns the configuration path of the term."""
        raise NotImplementedError

    def variants(self, config):
        """Returns a variant for each weight, the configured one among them."""
        by_weight = vary_weight(config, self.term(config), self.factors)
        return {f"{self.symbol} = {weight:g}": changes for weight, changes in by_weight.items()}

    def draw(self, rows, variants):
        """Returns the curve."""
        values = [float(label.rpartition(" ")[2]) for label in variants]
        return study_charts.score_curve(values, [*variants.values()], self.title, self.symbol)


def vary_weight(config: Mapping[str, Any], term: str, factors: tuple[float, ...]) -> dict[float, dict[str, Any]]:
    """Returns weight -> changes, for the configured weight times each factor; the weight 0 removes the term.

    Raises:
      UserError: if the configured weight is not positive.
    """
    name = term.rpartition(".")[2]
    weight = float(config["phase"][find_phase(config)]["losses"][name]["weight"])
    if not weight > 0:
        raise UserError(
            f"config.{term}.weight: expected a positive number, which the study multiplies, got {weight}; set one."
        )
    values = [round(weight * factor, 10) for factor in factors]
    return {value: {f"{term}.weight": value} if value else {term: REMOVED} for value in values}
