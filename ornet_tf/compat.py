"""The differences between the two stacks: Keras 3, and Keras 2.15 with TensorFlow 2.15 and tensorflow-addons."""
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
    """Returns the TensorFlow variable that a Keras 3 variable wraps; a Keras 2 variable is one itself."""
    return variable if isinstance(variable, tf.Variable) else variable.value


class SummedAdam(keras.optimizers.Adam):
    """Adam for gradients that are summed over the replicas already: Keras would sum them a second time.

    TensorFlow's kernel for Adam updates a variable in one operation, Keras's form in a dozen.
    """

    def update_step(self, gradient, variable, learning_rate=None):  # noqa: D102 - of the base class
        indices = self._index_dict if hasattr(self, "_index_dict") else self._trainable_variables_indices  # Keras 2, 3
        index = indices[self._var_key(variable)]
        steps = tf.cast(self.iterations, tf.float32) + 1.0
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=tf_variable(self._momentums[index]).handle,
            v=tf_variable(self._velocities[index]).handle,
            beta1_power=tf.pow(self.beta_1, steps),
            beta2_power=tf.pow(self.beta_2, steps),
            lr=self.learning_rate if learning_rate is None else learning_rate,  # Keras 2.15 does not pass it
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )

    def aggregate_gradients(self, grads_and_vars):  # noqa: D102 - Keras 2.15's hook
        return grads_and_vars

    _all_reduce_sum_gradients = aggregate_gradients  # Keras 3's


@functools.cache
def addons_connected_components():
    """Returns tensorflow_addons.image.connected_components (bool [N, h, w] -> int32 labels), or None without it."""
    try:
        with warnings.catch_warnings(), tf.init_scope():
            warnings.simplefilter("ignore")  # that its development has ended
            from tensorflow_addons.image import connected_components

            connected_components(tf.constant([[[True]]]))  # the first call loads its kernels
    except (ImportError, AttributeError, tf.errors.OpError):
        return None  # not installed, or built for another TensorFlow or Keras
    return connected_components
