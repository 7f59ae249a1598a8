"""Learning rate schedules, and Adam with a rate factor per variable and a choice of trained variables."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ornet_tf.compat import SummedAdam, keras
from ornet_tf.models.variables import group_by_rate


def make_schedule(learning_rate: float, schedule: str, warmup_steps: int, steps: int):
    """Returns a Keras learning rate schedule: a linear warm-up, then `cosine` to zero at `steps`, or `constant`."""
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
    """Groups variables by their rate factor and builds an Adam optimizer for each group.

    The optimizers take gradients that are summed over the replicas, as in `TrainingStep`.

    Args:
      variables: "part/layer/kind" -> trainable variable.
      schedule: the learning rate schedule.
      rate_factors: (regular expression, factor) pairs; the first that matches a variable's path counts. Default: 1.
      trainable: regular expressions; only variables whose path matches one of them are trained. Empty: all.

    Returns:
      (optimizer, its variables) pairs. The slots exist, so that a checkpoint restores them at once.

    Raises:
      UserError: if an expression matches no variable.
    """
    groups = group_by_rate(variables, rate_factors=rate_factors, trainable=trainable)
    optimizers = []
    for factor, members in sorted(groups.items(), key=lambda item: item[0] != 1.0):
        optimizer = SummedAdam(schedule if factor == 1.0 else _Scaled(schedule, factor))
        optimizer.build(members)
        optimizers.append((optimizer, members))
    return optimizers
