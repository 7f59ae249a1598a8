"""The interface of a study: a table or figure of an experiment, and of variants of it.

A study names the rows of the unchanged experiment that it shows, defines its variants as changes of the experiment's
configuration, and makes tables and pictures of their results.
"""
from __future__ import annotations

import abc
import typing
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from ornet_tf.reproduction.contents import Picture, Table
from ornet_tf.reproduction.outcomes import Outcome

REMOVED = "(removed)"  # the value of a change that removes an entry

_DIAGRAM = "it is a diagram of the method, in which nothing is measured; docs/method.md describes the method"

# Figures of the paper that have no study -> the reason.
LEFT_OUT = {"fig1": _DIAGRAM, "fig5": _DIAGRAM}


class Results(typing.NamedTuple):
    """The results of a study.

    Attributes:
      config: the experiment.
      rows: label -> outcome of a row of the unchanged experiment.
      variants: label -> outcome of a variant.
    """

    config: ConfigDict
    rows: Mapping[str, Outcome]
    variants: Mapping[str, Outcome]

    @property
    def outcomes(self) -> list[Outcome]:
        """All outcomes: the rows, then the variants."""
        return [*self.rows.values(), *self.variants.values()]


class Study(abc.ABC):
    """One table or figure. It shows rows or variants, or both.

    Attributes:
      title: one line.
      about: how to read it: what is compared, and what the paper leaves open.
      needs_boxes: whether it needs images with boxes, as it shows nothing or dashes without.
    """

    title: str
    about: str
    needs_boxes: bool = False

    def rows(self, config: Mapping[str, Any]) -> dict[str, str]:
        """Returns label -> row of the unchanged experiment: a phase or an entry of config.evaluation.row.

        Raises:
          UserError: if the experiment lacks a row that the study needs.
        """
        return {}

    def variants(self, config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Returns label -> changes, where changes map paths in the configuration to values; see `variants.vary`.

        All variants change options of one phase, whose row they show. One without changes is the experiment itself.

        Raises:
          UserError: if the experiment lacks an entry that is varied.
        """
        return {}

    @abc.abstractmethod
    def show(self, results: Results) -> list[Table | Picture]:
        """Returns the tables and pictures of the study. Rows without an activation map have no outcome."""
