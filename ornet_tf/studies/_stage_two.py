"""What the studies of stage two share: where its parts stand in a configuration, and how they are taken out."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ornet_tf.errors import UserError
from ornet_tf.reproduction import study_charts
from ornet_tf.reproduction.study import REMOVED

_WEIGHTED_ENTROPY = ("weighted_entropy", "entropy")


def phase(config: Mapping[str, Any]) -> str:
    """Returns the last phase of the method `stage_two`.

    Raises:
      UserError: if there is none.
    """
    found = [name for name in config["phases"] if config["phase"][name]["method"] == "stage_two"]
    if not found:
        raise UserError(
            f"config.phases: expected a phase of the method stage_two, which the study varies, got "
            f"{', '.join(config['phases'])}; take an experiment that has one, such as configs/toybirds.py."
        )
    return found[-1]


def entropy_term(config: Mapping[str, Any]) -> str:
    """Returns the path of the entropy term of the loss, weighted or plain."""
    return _term(config, *_WEIGHTED_ENTROPY)


def area_term(config: Mapping[str, Any]) -> str:
    """Returns the path of the area term of the loss."""
    return _term(config, "area")


def _term(config: Mapping[str, Any], *plugins: str) -> str:
    losses = f"phase.{phase(config)}.losses"
    found = [name for name, term in config["phase"][phase(config)]["losses"].items() if term["plugin"] in plugins]
    if len(found) != 1:
        raise UserError(
            f"config.{losses}: expected one term of {' or '.join(plugins)}, which the study varies, got {len(found)}."
        )
    return f"{losses}.{found[0]}"


def erasing(config: Mapping[str, Any], strategy: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the changes that set the erasing strategy and its options; None for no erasing."""
    where = f"phase.{phase(config)}.options"
    return {f"{where}.erasing": strategy, f"{where}.erasing_options": dict(options)}


def without(config: Mapping[str, Any], *parts: str) -> dict[str, Any]:
    """Returns the changes that take "entropy", "area" or "erasing" out."""
    changes: dict[str, Any] = {}
    for part in parts:
        if part == "erasing":
            changes.update(erasing(config, None, {}))
        else:
            changes[{"entropy": entropy_term, "area": area_term}[part](config)] = REMOVED
    return changes


class Weights:
    """A study of the weight of one term of the loss; a subclass says which, in `term`."""

    about = "Multiples of the configured weight: the paper's own grid is not known. At 0 the term is left out."
    rows = ()
    phase = staticmethod(phase)
    title: str
    symbol: str  # of the weight, in the paper
    factors: tuple[float, ...]  # of the configured weight

    @staticmethod
    def term(config: Mapping[str, Any]) -> str:
        """Returns the path of the term."""
        raise NotImplementedError

    def variants(self, config):
        """Returns a variant for each weight; that of the experiment is among them."""
        of_weight = weights(config, self.term(config), self.factors)
        return {f"{self.symbol} = {weight:g}": changes for weight, changes in of_weight.items()}

    def draw(self, rows, variants):
        """Returns the curve."""
        values = [float(label.rpartition(" ")[2]) for label in variants]
        return study_charts.score_curve(values, [*variants.values()], self.title, self.symbol)


def weights(config: Mapping[str, Any], term: str, factors: tuple[float, ...]) -> dict[float, dict[str, Any]]:
    """Returns weight -> changes, for the weight of a term as it is times each factor; a weight of 0 takes it out."""
    name = term.rpartition(".")[2]
    weight = float(config["phase"][phase(config)]["losses"][name]["weight"])
    if not weight > 0:
        raise UserError(f"config.{term}.weight: expected a positive number, which the study varies, got {weight}.")
    values = [round(weight * factor, 10) for factor in factors]
    return {value: {f"{term}.weight": value} if value else {term: REMOVED} for value in values}
