"""What every program does with TensorFlow beside its own work: seeds, devices, messages about errors."""
from __future__ import annotations

import errno
import os

import tensorflow as tf
from absl import logging
from ml_collections import ConfigDict

from ornet_tf.compat import keras
from ornet_tf.config_check import validate
from ornet_tf.data import decoding
from ornet_tf.errors import UserError

# TensorFlow's errors about damaged records and about hosts that do not answer.
_ENVIRONMENT_ERRORS = (
    tf.errors.DataLossError, tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError,
    tf.errors.CancelledError,
)
# The ends of TensorFlow's messages that pass on an error of the system: "runs/x; No such file or directory".
_SYSTEM_MESSAGES = tuple(f"; {os.strerror(number)}" for number in errno.errorcode)


def prepare(config: ConfigDict) -> None:
    """Checks the configuration, seeds all random number generators and logs versions and devices.

    Raises:
      UserError: if something in the configuration is wrong.
    """
    validate(config)
    keras.utils.set_random_seed(config.seed)
    for device in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(device, True)
    onednn = os.environ.get("TF_ENABLE_ONEDNN_OPTS")
    # Physical devices: listing logical ones would start TensorFlow, and a started process can't join a cluster.
    devices = tf.config.list_physical_devices("GPU") or tf.config.list_physical_devices("CPU")
    logging.info(
        "TensorFlow %s, Keras %s, %s (TF_ENABLE_ONEDNN_OPTS=%s).",
        tf.__version__, keras.__version__, ", ".join(d.name for d in devices), onednn,
    )


def user_message(error: Exception) -> str:
    """Returns the message for the user about an error, or "" if the error is a bug of this code.

    Errors of the system and of TensorFlow can be about a full disk, a missing file, too little memory or a host that
    does not answer. TensorFlow's other errors, such as those about shapes, are bugs.
    """
    while hasattr(error, "ag_error_metadata") and isinstance(error.__context__, UserError):
        error = error.__context__  # the original: AutoGraph adds lines of code to the message
    if isinstance(error, (UserError, OSError)):
        return str(error)
    if isinstance(error, tf.errors.OpError):
        if decoding.is_refusal(error):
            reason = decoding.refusal_reason(error)
            return f"An image can't be used: {reason}. It has changed since the images were checked."
        if isinstance(error, tf.errors.ResourceExhaustedError):
            return f"Not enough memory or disk space: {error.message}"
        if isinstance(error, _ENVIRONMENT_ERRORS) or error.message.endswith(_SYSTEM_MESSAGES):
            return error.message
    return ""
