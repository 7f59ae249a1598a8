"""The one place that knows that there are two Keras: Keras 3 (TF >= 2.16) and Keras 2.15 (TF 2.15)."""
from __future__ import annotations

import keras

__all__ = ["keras", "variable_path"]


def variable_path(variable) -> str:
    """Returns the slash-separated name of a layer's variable, such as `map_norm/gamma`."""
    return getattr(variable, "path", None) or variable.name.split(":")[0]
