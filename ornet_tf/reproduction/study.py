"""The interface of a study: a table or figure that compares variants of an experiment.

A study defines its variants as changes of the experiment's configuration, and draws a figure from their results.
"""
from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ornet_tf.reproduction.outcomes import Outcome

REMOVED = "(removed)"  # the value of a change that removes an entry

_UNKNOWN = "it is not known what the paper shows there"

# Tables and figures of the paper that have no study -> the reason.
LEFT_OUT = {
    "table4": _UNKNOWN,
    "fig2": _UNKNOWN,
    "fig3": f"{_UNKNOWN}; losses/weighted_entropy.py has the weight of Eq. 14 as a function of the map's value",
    "fig8": f"{_UNKNOWN}; every study's report shows CorLoc against the threshold",
}


class Study(typing.Protocol):
    """One table or figure.

    Attributes:
      title: one line.
      about: how to read it: what the variants are, and what the paper leaves open.
      rows: evaluated rows of the experiment that are compared with the variants and do not depend on them.
    """

    title: str
    about: str
    rows: Sequence[str]

    def phase(self, config: Mapping[str, Any]) -> str:
        """Returns the phase of `config.phase_order` that is varied; the phases before it are trained once.

        Raises:
          UserError: if the experiment has no such phase.
        """

    def variants(self, config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Returns label -> changes, where changes map paths in the configuration to values; see `variants.vary`.

        Raises:
          UserError: if the experiment lacks an entry that is varied.
        """

    def draw(self, rows: Mapping[str, Outcome], variants: Mapping[str, Outcome]) -> np.ndarray | None:
        """Returns the figure, uint8 [H, W, 3], or None if there is nothing to show.

        Args:
          rows: name -> outcome of an evaluated row.
          variants: label -> outcome of a variant.
        """
