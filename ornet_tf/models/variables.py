"""Names for the variables of models that are the same in both Keras versions: "part/layer/kind"."""
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from ornet_tf.compat import keras, variable_path
from ornet_tf.errors import UserError
from ornet_tf.models import layers


def named_variables(parts: Mapping[str, keras.Model], *, trainable_only: bool = True) -> dict[str, tf.Variable]:
    """Returns the variables of functional models by "part/layer/kind", such as "generator/map_norm/gamma".

    Args:
      parts: name -> model.
      trainable_only: whether variables that are not trained, such as moving statistics, are left out.

    Raises:
      ValueError: if two variables share a name.
    """
    named: dict[str, tf.Variable] = {}
    for name, part in parts.items():
        for variable in part.trainable_variables if trainable_only else part.weights:
            # The path before the layer's name differs between versions of Keras.
            key = "/".join([name, *variable_path(variable).split("/")[-2:]])
            if key in named:
                raise ValueError(f"Two variables are named {key}; give the layers of {name} different names.")
            named[key] = variable
    return named


def named_statistics(parts: Mapping[str, keras.Model]) -> dict[str, tf.Variable]:
    """Returns "part/layer/kind" -> variable for all variables of `ornet_tf.models.layers.statistics`."""
    statistics = {id(variable) for part in parts.values() for variable in layers.statistics(part)}
    return {path: v for path, v in named_variables(parts, trainable_only=False).items() if id(v) in statistics}


def group_by_rate(
    variables: Mapping[str, Any], *, rate_factors: Sequence[tuple[str, float]] = (), trainable: Sequence[str] = ()
) -> dict[float, list[Any]]:
    """Selects the variables to train and groups them by the factor of their learning rate.

    Args:
      variables: "part/layer/kind" -> a variable that may be trained.
      rate_factors: (regular expression, factor) pairs; the first one that matches a variable's path counts. Without a
        match the factor is 1.
      trainable: regular expressions; only variables whose path matches one of them are trained. Empty for all.

    Returns:
      Factor -> variables.

    Raises:
      UserError: if an expression matches no variable.
    """
    for pattern in [*trainable, *(pattern for pattern, _ in rate_factors)]:
        if not any(re.search(pattern, path) for path in variables):
            raise UserError(f"No variable matches {pattern!r}; paths look like {', '.join(list(variables)[::10])}.")
    groups: dict[float, list[Any]] = {}
    for path, variable in variables.items():
        if trainable and not any(re.search(pattern, path) for pattern in trainable):
            continue
        factors = [factor for pattern, factor in rate_factors if re.search(pattern, path)]
        groups.setdefault(factors[0] if factors else 1.0, []).append(variable)
    return groups
