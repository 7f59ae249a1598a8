"""Reads the files of one checkpoint, and says what is wrong with them."""
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
    """Raises UserError if a checkpoint lacks a part, DamagedCheckpointError if it can't be read."""
    graph = trackable_object_graph_pb2.TrackableObjectGraph()
    try:
        graph.ParseFromString(tf.train.load_checkpoint(path).get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))
    except (tf.errors.OpError, IndexError, ValueError, RuntimeError) as error:
        raise DamagedCheckpointError(f"The checkpoint {path} is damaged ({_first_line(error)}).") from error
    # What is tracked beside the parts are optimisers and single values, which have no children.
    tracked = [child for child in graph.nodes[0].children if graph.nodes[child.node_id].children]
    held = {child.local_name for child in tracked if not child.local_name.startswith("optimizer_")}
    lacking = [name for name, part in parts.items() if part.weights and name not in held]
    if lacking:
        folder = os.path.dirname(os.path.dirname(path))
        raise UserError(
            f"{folder} has no part {lacking[0]!r}; it has {', '.join(sorted(held)) or 'none'}. It was trained with "
            "other options, or by a version without that part. Remove it to train the phase again, or use the "
            "configuration that it was trained with."
        )


def _is_news(record: logging.logging.LogRecord) -> bool:
    """Returns False for what TensorFlow says, a line per value, of a checkpoint that was not restored to its end."""
    of_unread_values = (
        "Detecting that an object or model or tf.train.Checkpoint is being deleted with unrestored values",
        "Value in checkpoint could not be found in the restored object",
        "An attribute in the restored object could not be found in the checkpoint",
    )
    return not str(record.msg).startswith(of_unread_values)


def restore(checkpoint: tf.train.Checkpoint, path: str, *, partial: bool) -> None:
    """Restores what a checkpoint tracks from the files at `path`.

    Args:
      checkpoint: what is to be restored, all of it built.
      path: without the endings of its files.
      partial: whether the files may hold more than that.

    Raises:
      DamagedCheckpointError: if the files can't be read.
      UserError: if they are of another model.
    """
    # If `read` raises, there is no status to expect_partial(), and TensorFlow speaks whenever it collects its own: on
    # the way out, below our error. What was asked for is asserted here.
    tf.get_logger().addFilter(_is_news)
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
            f"The checkpoint {path} can't be restored: it lacks what was asked for ({_first_line(error)}). Use the "
            "configuration that wrote it."
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
