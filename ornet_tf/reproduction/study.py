"""What a study is: a table or figure that compares variants of an experiment.

A study states its variants as changes of the experiment's configuration, and what it draws from their results.
"""
from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ornet_tf.reproduction.outcomes import Outcome

REMOVED = "(removed)"  # the value of a change that takes something out


_UNKNOWN = "the sources at hand do not say what the paper shows there, and nothing is made up"


# What the paper has and this family has not -> why.
LEFT_OUT = {
    "table4": _UNKNOWN,
    "fig2": _UNKNOWN,
    "fig3": f"{_UNKNOWN}; the weight of Eq. 14 against the map's value can be read in losses/weighted_entropy.py",
    "fig8": f"{_UNKNOWN}; CorLoc against the threshold is a section of every study's report",
}


class Study(typing.Protocol):
    """One table or figure.

    Attributes:
      title: what it shows, one line.
      about: what to know to read it: what the variants are, and what the paper does not say.
      rows: evaluated rows of the experiment without a variant, which are set beside the variants.
    """

    title: str
    about: str
    rows: Sequence[str]

    def phase(self, config: Mapping[str, Any]) -> str:
        """Returns the phase of `config.phases` that is varied; those before it are trained once.

        Raises:
          UserError: if the experiment has none.
        """

    def variants(self, config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Returns label -> changes, path in the configuration -> value; see `variants.vary`.

        Raises:
          UserError: if the experiment lacks what is to be varied.
        """

    def draw(self, rows: Mapping[str, Outcome], variants: Mapping[str, Outcome]) -> np.ndarray | None:
        """Returns the figure, uint8 [H, W, 3], or None if there is nothing to show.

        Args:
          rows: by their names.
          variants: by their labels.
        """
