"""Builds changes of stage two's losses and erasing, for studies."""
from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from ornet_tf import registry
from ornet_tf.errors import UserError
from ornet_tf.reproduction.study import REMOVED
from ornet_tf.studies import _rows

STRATEGIES = ("random", "above_threshold", "restricted_rectangle", "attentive")  # in the order of the paper's Fig. 7


def _phase(config: Mapping[str, Any]) -> str:
    return _rows.last_phase(config, "stage_two")


def find_term(config: Mapping[str, Any], plugin: str) -> str:
    """Returns the configuration path of stage two's term of a loss.

    Raises:
      UserError: unless there is exactly one such term.
    """
    phase = _phase(config)
    terms = [name for name, term in config["phase"][phase]["losses"].items() if term["plugin"] == plugin]
    if len(terms) != 1:
        raise UserError(
            f"config.phase.{phase}.losses: expected one term of {plugin}, which the study varies, got {len(terms)}; "
            "choose an experiment with one."
        )
    return f"phase.{phase}.losses.{terms[0]}"


def remove_terms(config: Mapping[str, Any], *plugins: str) -> dict[str, Any]:
    """Returns the changes that remove the terms of losses from stage two."""
    return {find_term(config, plugin): REMOVED for plugin in plugins}


def require_attentive_erasing(config: Mapping[str, Any]) -> None:
    """Checks that stage two erases attentively, which the labels of a study say.

    Raises:
      UserError: if it has no erasing, another strategy, or the probability 0.
    """
    phase = _phase(config)
    path, options = f"config.phase.{phase}.options", config["phase"][phase]["options"]
    if options["erasing"] != "attentive":
        raise UserError(
            f"{path}.erasing: expected 'attentive', as the study compares attentive erasing, got "
            f"{options['erasing']!r}; set it to 'attentive'."
        )
    if options["erasing_options"].get("probability") == 0:
        raise UserError(
            f"{path}.erasing_options.probability: expected more than 0, as the study compares attentive erasing, got "
            "0; set a higher one, or leave it out for 1."
        )


def set_erasing(config: Mapping[str, Any], strategy: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the changes that set the erasing strategy and its options; the strategy None disables erasing."""
    path = f"phase.{_phase(config)}.options"
    return {f"{path}.erasing": strategy, f"{path}.erasing_options": dict(options)}


def erasing_options(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the options of each strategy of `STRATEGIES`: those configured for erasing that the strategy knows.

    So sizes, thresholds and probabilities are the same for all.
    """
    configured = config["phase"][_phase(config)]["options"]["erasing_options"]
    options = {}
    for name in STRATEGIES:
        known = inspect.signature(registry.find("erasing", name)).parameters
        options[name] = {key: value for key, value in dict(configured).items() if key in known}
    return options


def vary_weight(config: Mapping[str, Any], plugin: str, factors: tuple[float, ...]) -> dict[float, dict[str, Any]]:
    """Returns weight -> changes, for the configured weight of a loss times each factor; the weight 0 removes the term.

    Raises:
      UserError: if the configured weight is not positive.
    """
    term = find_term(config, plugin)
    weight = float(config["phase"][_phase(config)]["losses"][term.rpartition(".")[2]]["weight"])
    if not weight > 0:
        raise UserError(
            f"config.{term}.weight: expected a positive number, which the study multiplies, got {weight}; set one."
        )
    values = [round(weight * factor, 10) for factor in factors]
    return {value: {f"{term}.weight": value} if value else {term: REMOVED} for value in values}
