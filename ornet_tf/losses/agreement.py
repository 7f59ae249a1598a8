"""Agreement with a teacher: how far one judgement is from another (knowledge distillation, Hinton et al., 2015).

Not in the paper. There the evaluator's cross-entropy asks the masked image for the label, so a part of the object
that speaks for another class is better hidden. In agreement with the evaluator's own judgement of the unmasked image
it has to show.
"""
from __future__ import annotations

import tensorflow as tf


def loss(logits: tf.Tensor, teacher_logits: tf.Tensor) -> tf.Tensor:
    """Returns the Kullback-Leibler divergence of the softmax of `logits` from that of `teacher_logits`, in nats.

    Args:
      logits: floating point [B, K]; computed in float32 whatever they come in.
      teacher_logits: floating point [B, K]; they get no gradient.

    Returns:
      float32 [B], at least 0 but for rounding.

    Raises:
      ValueError: if the shapes are not [B, K] both.
    """
    logits = tf.cast(logits, tf.float32)
    teacher_logits = tf.stop_gradient(tf.cast(teacher_logits, tf.float32))
    if not logits.shape.is_compatible_with([None, None]) or not logits.shape.is_compatible_with(teacher_logits.shape):
        raise ValueError(f"logits and teacher_logits must both be [B, K], got {logits.shape}, {teacher_logits.shape}.")
    target = tf.nn.softmax(teacher_logits)
    difference = tf.nn.log_softmax(teacher_logits) - tf.nn.log_softmax(logits)
    return tf.reduce_sum(tf.math.multiply_no_nan(difference, target), axis=1)


loss.needs_classes = True  # of one class it is 0
