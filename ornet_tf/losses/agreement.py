"""Agreement with a teacher's logits (knowledge distillation, Hinton et al., 2015). Not in the paper.

The paper's cross-entropy asks the evaluator for the label of the masked image. It is therefore lower if the mask hides
parts of the object that look like another class. This loss asks for the evaluator's own prediction for the unmasked
image instead, so those parts must stay visible.
"""
from __future__ import annotations

import tensorflow as tf


def loss(logits: tf.Tensor, teacher_logits: tf.Tensor) -> tf.Tensor:
    """Returns the Kullback-Leibler divergence of the softmax of `logits` from that of `teacher_logits`, in nats.

    Args:
      logits: floating point [B, K]; computed in float32 for any dtype.
      teacher_logits: floating point [B, K]; they get no gradient.

    Returns:
      float32 [B], at least 0 up to rounding.

    Raises:
      ValueError: if the shapes are not both [B, K].
    """
    logits = tf.cast(logits, tf.float32)
    teacher_logits = tf.stop_gradient(tf.cast(teacher_logits, tf.float32))
    if not logits.shape.is_compatible_with([None, None]) or not logits.shape.is_compatible_with(teacher_logits.shape):
        raise ValueError(f"logits and teacher_logits must both be [B, K], got {logits.shape}, {teacher_logits.shape}.")
    target = tf.nn.softmax(teacher_logits)
    difference = tf.nn.log_softmax(teacher_logits) - tf.nn.log_softmax(logits)
    return tf.reduce_sum(tf.math.multiply_no_nan(difference, target), axis=1)


loss.needs_classes = True  # with one class it is always 0
