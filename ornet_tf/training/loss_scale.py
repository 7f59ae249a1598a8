"""The factor of float16's losses: small gradients do not vanish by it (Micikevicius et al., ICLR 2018)."""
from __future__ import annotations

import tensorflow as tf

FIRST = 2.0**15
GROWTH_STEPS = 2000  # good steps after which the scale doubles


class LossScale:
    """Doubles after many good steps and halves after each step whose gradients overflow.

    Attributes:
      state: name -> variable, for the checkpoint.
    """

    def __init__(self, scales: bool):
        """Begins with the first scale, or with 1, which stays, where losses are not scaled."""
        self._scale = tf.Variable(FIRST if scales else 1.0, trainable=False, name="loss_scale")
        self._good_steps = tf.Variable(0, trainable=False, name="good_steps")
        self.state = {"loss_scale": self._scale, "good_steps": self._good_steps}

    def read(self) -> tf.Tensor:
        """Returns the scale of the next step, float32 scalar."""
        return self._scale.read_value()

    def move(self, finite: tf.Tensor) -> tf.Tensor:
        """Moves the scale after a step whose gradients were finite or not; returns whether it was 1, the lowest."""
        was_lowest = self._scale <= 1.0
        good = tf.where(finite, self._good_steps + 1, 0)
        grown = tf.where(good >= GROWTH_STEPS, self._scale * 2.0, self._scale.read_value())
        self._good_steps.assign(good % GROWTH_STEPS)
        self._scale.assign(tf.where(finite, grown, tf.maximum(1.0, self._scale / 2.0)))
        return was_lowest
