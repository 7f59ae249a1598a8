"""Adam with a schedule, a rate factor for some variables, and a choice of what is trained."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ornet_tf.compat import SummedAdam, keras
from ornet_tf.models.variables import group_by_rate


def make_schedule(learning_rate: float, schedule: str, warmup_steps: int, steps: int):
    """Returns a Keras learning rate schedule: `cosine` to zero at `steps`, or `constant`, after a linear warm-up."""
    if schedule == "cosine":
        return keras.optimizers.schedules.CosineDecay(
            0.0 if warmup_steps else learning_rate,
            max(1, steps - warmup_steps),
            warmup_target=learning_rate if warmup_steps else None,
            warmup_steps=warmup_steps,
        )
    if warmup_steps:
        return keras.optimizers.schedules.PolynomialDecay(0.0, warmup_steps, learning_rate)
    return keras.optimizers.schedules.PolynomialDecay(learning_rate, 1, learning_rate)


class _Scaled(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule times a constant."""

    def __init__(self, schedule, factor: float):
        self._schedule, self._factor = schedule, factor

    def __call__(self, step):
        return self._schedule(step) * self._factor

    def get_config(self):
        return {"schedule": self._schedule, "factor": self._factor}


def make_optimizers(
    variables: Mapping[str, Any],
    *,
    schedule: Any,
    rate_factors: Sequence[tuple[str, float]] = (),
    trainable: Sequence[str] = (),
) -> list[tuple[Any, list[Any]]]:
    """Groups variables by the factor of their learning rate and builds an Adam optimiser for each group.

    Each expects gradients that are summed over the replicas already, as `training_step` gives them.

    Args:
      variables: "part/layer/kind" -> what may be trained.
      schedule: the learning rate schedule.
      rate_factors: (regular expression, factor) pairs; the first that is found in a variable's path counts, else 1.
      trainable: regular expressions; only variables in whose path one of them is found are trained. Empty: all.

    Returns:
      (optimiser, its variables) pairs. Slots exist, so that a checkpoint restores them at once.

    Raises:
      UserError: if an expression is found in no variable.
    """
    groups = group_by_rate(variables, rate_factors=rate_factors, trainable=trainable)
    optimizers = []
    for factor, members in sorted(groups.items(), key=lambda item: item[0] != 1.0):
        optimizer = SummedAdam(schedule if factor == 1.0 else _Scaled(schedule, factor))
        optimizer.build(members)
        optimizers.append((optimizer, members))
    return optimizers
