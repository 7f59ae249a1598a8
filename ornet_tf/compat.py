"""The one place that knows that there are two stacks: Keras 3, and Keras 2.15 with TensorFlow 2.15 and its addons."""
from __future__ import annotations

import functools
import warnings

import keras
import tensorflow as tf

__all__ = ["SummedAdam", "addons_connected_components", "keras", "tf_variable", "variable_path"]


def variable_path(variable) -> str:
    """Returns the slash-separated name of a layer's variable, such as `map_norm/gamma`."""
    return getattr(variable, "path", None) or variable.name.split(":")[0]


def tf_variable(variable) -> tf.Variable:
    """Returns the TensorFlow variable that a Keras 3 variable wraps; one of Keras 2 is that itself."""
    return variable if isinstance(variable, tf.Variable) else variable.value


class SummedAdam(keras.optimizers.Adam):
    """Adam for gradients that the caller has added up over the replicas: Keras would add them up a second time."""

    def aggregate_gradients(self, grads_and_vars):  # noqa: D102 - Keras 2.15's hook
        return grads_and_vars

    _all_reduce_sum_gradients = aggregate_gradients  # Keras 3's


@functools.cache
def addons_connected_components():
    """Returns tensorflow_addons.image.connected_components (bool [N, h, w] -> int32 labels), or None without it."""
    try:
        with warnings.catch_warnings(), tf.init_scope():
            warnings.simplefilter("ignore")  # that its development has ended is why there are two stacks
            from tensorflow_addons.image import connected_components

            connected_components(tf.constant([[[True]]]))  # its kernels are loaded by the first call, or not at all
    except (ImportError, AttributeError, tf.errors.OpError):
        return None  # not installed, or built for another TensorFlow or Keras than this one
    return connected_components
