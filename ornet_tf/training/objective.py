"""The objective of a phase: the weighted sum of its losses."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from ornet_tf import registry
from ornet_tf.errors import UserError


class Objective:
    """The weighted sum of a phase's loss terms. A weight may grow over the first steps (ramp).

    Attributes:
      inputs: names of the tensors that the losses take.
    """

    def __init__(self, losses: Mapping[str, Mapping[str, Any]], *, steps: int, batch_size: int):
        """Finds the losses.

        Args:
          losses: term name -> the fields that `ornet_tf.config.loss` returns.
          steps: the steps of the whole phase; ramps are shares of it.
          batch_size: the global batch size; each loss is a sum over examples divided by it.
        """
        self._losses, self._steps, self._batch_size = losses, steps, batch_size
        self._entries = {term: registry.find("losses", fields["plugin"]) for term, fields in losses.items()}
        self.inputs = {key for fields in losses.values() for key in fields["inputs"]}

    def __call__(self, outputs: Mapping[str, tf.Tensor], step: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Returns this replica's share of the objective and of each unweighted term "loss/<term>", all scalars.

        Args:
          outputs: named tensors of the replica's examples.
          step: int32 scalar, counted from 0.

        Raises:
          UserError: if a loss takes a tensor that is not in `outputs`.
        """
        total, terms = 0.0, {}
        for term, fields in self._losses.items():
            for key in fields["inputs"]:
                if key not in outputs:
                    raise UserError(f"losses.{term}.inputs: no tensor {key!r}; choose from {', '.join(outputs)}.")
            per_example = self._entries[term](*(outputs[key] for key in fields["inputs"]), **fields["options"])
            terms[f"loss/{term}"] = tf.reduce_sum(per_example) / self._batch_size
            total += fields["weight"] * self._ramp(fields["ramp"], step) * terms[f"loss/{term}"]
        return total, terms

    def _ramp(self, share, step):
        return tf.minimum(1.0, tf.cast(step + 1, tf.float32) / (share * self._steps)) if share > 0 else 1.0
