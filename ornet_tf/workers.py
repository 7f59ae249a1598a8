"""The processes and devices of a run: one process with all its GPUs, or the hosts that TF_CONFIG names."""
from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Iterator

import tensorflow as tf
from absl import logging

from ornet_tf.interruption import Interrupted


def make_strategy() -> tf.distribute.Strategy:
    """Returns MultiWorkerMirroredStrategy where TF_CONFIG names a cluster, else MirroredStrategy.

    Either takes all GPUs of the host, or its CPU where there is none. With TF_CONFIG it has to come before anything
    that TensorFlow computes.

    Raises:
      ValueError: if TF_CONFIG can't be used.
    """
    if not _cluster():
        return local_strategy()
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise ValueError(f"TF_CONFIG: the cluster {_cluster()} can't be joined: {error}") from error


def local_strategy() -> tf.distribute.Strategy:
    """Returns MirroredStrategy over all GPUs of this host, or its CPU where there is none."""
    return tf.distribute.MirroredStrategy(tf.config.list_logical_devices("GPU") or ["CPU:0"])


def _cluster() -> dict:
    text = os.environ.get("TF_CONFIG", "")
    if not text:
        return {}
    try:
        config = json.loads(text)
        cluster, task = config.get("cluster", {}), config.get("task", {})
        if cluster and not 0 <= int(task["index"]) < len(cluster[task["type"]]):
            raise ValueError(f"task {task['index']} of {len(cluster[task['type']])}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            'TF_CONFIG: expected {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}, '
            f"got {text!r} ({error})."
        ) from error
    return cluster


def name(strategy: tf.distribute.Strategy) -> str:
    """Returns the name of this process among those of the run, such as `worker-1`; empty where it is the only one."""
    resolver = strategy.cluster_resolver
    return f"{resolver.task_type}-{resolver.task_id}" if resolver and resolver.task_type else ""


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Returns whether this process is the one that writes checkpoints, logs and results."""
    names = _cluster()
    return name(strategy) in ("", "chief-0" if "chief" in names else "worker-0")


# What collective operations fail with when a process is gone; all else is this process's own error.
_LOST = (
    tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


@contextlib.contextmanager
def together(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Turns what TensorFlow says when another process of the run is gone into a sentence.

    Raises:
      Interrupted: that sentence; the run can go on.
    """
    try:
        yield
    except _LOST as error:
        if not name(strategy):
            raise
        logging.debug("The error in full:", exc_info=True)
        raise Interrupted(
            f"{name(strategy)} can't go on without the others, of which one has ended or can't be reached. Look what "
            "that one said; then start all of them again: they go on from the last checkpoint."
        ) from error


def meet(strategy: tf.distribute.Strategy) -> None:
    """Waits until every process of the run is here."""
    if name(strategy):
        for sum_of_all in strategy.experimental_local_results(_adder(strategy)()):
            sum_of_all.numpy()


@functools.cache
def _adder(strategy: tf.distribute.Strategy):
    @tf.function
    def add():
        context = tf.distribute.get_replica_context
        return strategy.run(lambda: context().all_reduce(tf.distribute.ReduceOp.SUM, tf.constant(1.0)))

    return add
