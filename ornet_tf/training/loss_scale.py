"""Dynamic loss scaling: keeps small float16 gradients from vanishing (Micikevicius et al., ICLR 2018)."""
from __future__ import annotations

import tensorflow as tf

START = 2.0**15
GROWTH_STEPS = 2000  # steps with finite gradients after which the scale doubles


class LossScale:
    """A loss scale that doubles after many finite steps and halves after each step whose gradients overflow.

    Attributes:
      state: name -> variable, for the checkpoint.
    """

    def __init__(self, scales: bool):
        """Starts with `START`, or with 1 if losses are not scaled."""
        self._scale = tf.Variable(START if scales else 1.0, trainable=False, name="loss_scale")
        self._good_steps = tf.Variable(0, trainable=False, name="good_steps")
        self.state = {"loss_scale": self._scale, "good_steps": self._good_steps}

    def read(self) -> tf.Tensor:
        """Returns the scale of the next step, float32 scalar."""
        return self._scale.read_value()

    def update(self, finite: tf.Tensor) -> tf.Tensor:
        """Updates the scale after a step.

        Args:
          finite: bool scalar, whether all gradients of the step were finite.

        Returns:
          bool scalar, whether the scale of the step was 1, the lowest.
        """
        was_lowest = self._scale <= 1.0
        good = tf.where(finite, self._good_steps + 1, 0)
        grown = tf.where(good >= GROWTH_STEPS, self._scale * 2.0, self._scale.read_value())
        self._good_steps.assign(good % GROWTH_STEPS)
        self._scale.assign(tf.where(finite, grown, tf.maximum(1.0, self._scale / 2.0)))
        return was_lowest
