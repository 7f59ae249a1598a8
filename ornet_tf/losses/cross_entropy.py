"""Softmax cross-entropy: of the classifier of the masked features (Eq. 5) and of the auxiliary head (Eq. 6)."""
from __future__ import annotations

import numbers

import tensorflow as tf

from ornet_tf.errors import UserError


def loss(logits: tf.Tensor, labels: tf.Tensor, *, label_smoothing: float = 0.0) -> tf.Tensor:
    """Returns the cross-entropy of each example, in nats (Eq. 5, 6).

    With label smoothing s the target is 1 - s on the label plus s / K on each of the K classes; the paper has s = 0.

    Args:
      logits: floating point [B, K]; computed in float32 for any dtype.
      labels: integer [B], in 0..K-1. For other values the op raises an error on CPUs and returns NaN on GPUs.
      label_smoothing: s, at least 0 and below 1.

    Returns:
      float32 [B], at least 0.

    Raises:
      UserError: if label_smoothing is out of range.
      ValueError: if logits are not [B, K].
      TypeError: if labels are not integers.
    """
    if not isinstance(label_smoothing, numbers.Real):
        raise UserError(f"label_smoothing must be a number, got {label_smoothing!r}; write it without quotes.")
    if not 0.0 <= label_smoothing < 1.0:
        raise UserError(f"label_smoothing must be at least 0 and below 1, got {label_smoothing!r}; the paper has 0.")
    logits = tf.cast(logits, tf.float32)
    labels = tf.convert_to_tensor(labels)
    if not logits.shape.is_compatible_with([None, None]):
        raise ValueError(f"logits must have shape [B, K], got {logits.shape}; average class maps over their pixels.")
    if not labels.dtype.is_integer:
        raise TypeError(f"labels must be integers [B], got {labels.dtype.name} {labels.shape}; pass class indices.")
    by_label = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=tf.cast(labels, tf.int32), logits=logits)  # [B]
    if not label_smoothing:
        return by_label
    over_classes = -tf.reduce_mean(tf.nn.log_softmax(logits), axis=1)  # [B]
    return (1.0 - label_smoothing) * by_label + label_smoothing * over_classes


loss.needs_classes = True  # with one class it is always 0
