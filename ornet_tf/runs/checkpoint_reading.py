"""Reads the files of a checkpoint and explains errors in them."""
from __future__ import annotations

import os
from collections.abc import Mapping

import tensorflow as tf
from absl import logging
from tensorflow.core.protobuf import trackable_object_graph_pb2

from ornet_tf.compat import keras
from ornet_tf.errors import UserError


class DamagedCheckpointError(UserError):
    """The files of a checkpoint can't be read."""


def check_parts(parts: Mapping[str, keras.Model], path: str) -> None:
    """Checks that a checkpoint has all parts.

    Raises:
      UserError: if a part is missing.
      DamagedCheckpointError: if the checkpoint can't be read.
    """
    graph = trackable_object_graph_pb2.TrackableObjectGraph()
    try:
        graph.ParseFromString(tf.train.load_checkpoint(path).get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))
    except (tf.errors.OpError, IndexError, ValueError, RuntimeError) as error:
        raise DamagedCheckpointError(f"The checkpoint {path} is damaged ({_first_line(error)}).") from error
    # Besides the parts, a checkpoint tracks optimizers and single values; the latter have no children.
    tracked = [child for child in graph.nodes[0].children if graph.nodes[child.node_id].children]
    stored = {child.local_name for child in tracked if not child.local_name.startswith("optimizer_")}
    missing = [name for name, part in parts.items() if part.weights and name not in stored]
    if missing:
        folder = os.path.dirname(os.path.dirname(path))
        raise UserError(
            f"{folder} has no part {missing[0]!r}; it has {', '.join(sorted(stored)) or 'none'}. It was trained with "
            "other options, or by a version without that part. Remove it to train the phase again, or use the "
            "configuration that it was trained with."
        )


def _is_not_about_unread_values(record: logging.logging.LogRecord) -> bool:
    """Returns False for TensorFlow's warnings, one per value, about a checkpoint that was only partly restored."""
    warnings = (
        "Detecting that an object or model or tf.train.Checkpoint is being deleted with unrestored values",
        "Value in checkpoint could not be found in the restored object",
        "An attribute in the restored object could not be found in the checkpoint",
    )
    return not str(record.msg).startswith(warnings)


def restore(checkpoint: tf.train.Checkpoint, path: str, *, partial: bool) -> None:
    """Restores the objects of a checkpoint from the files at `path`.

    Args:
      checkpoint: tracks the objects to restore; all are built.
      path: the path of the files without their suffixes.
      partial: whether the files may contain more than these objects.

    Raises:
      DamagedCheckpointError: if the files can't be read.
      UserError: if the files are of another model.
    """
    # If `read` raises, there is no status for expect_partial(), and TensorFlow warns about each unread value when its
    # objects are garbage collected, after our error message. The assertions below check the values that are needed.
    tf.get_logger().addFilter(_is_not_about_unread_values)
    try:
        status = checkpoint.read(path)
        if partial:
            status.expect_partial().assert_existing_objects_matched()
        else:
            status.assert_consumed()
    except (tf.errors.OpError, IndexError) as error:
        raise DamagedCheckpointError(f"The checkpoint {path} is damaged ({_first_line(error)}).") from error
    except (AssertionError, ValueError) as error:
        raise UserError(
            f"The checkpoint {path} does not fit the model ({_first_line(error)}). Use the configuration that it was "
            "trained with."
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
