"""The processes and devices of a run: one process with all GPUs, or one process on each host in TF_CONFIG."""
from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import zlib
from collections.abc import Callable, Iterator, Mapping

import tensorflow as tf
from absl import logging

from ornet_tf.errors import UserError
from ornet_tf.runs.interruption import Interrupted


def make_strategy() -> tf.distribute.Strategy:
    """Returns MultiWorkerMirroredStrategy if TF_CONFIG has a cluster, else MirroredStrategy.

    Both use all GPUs of the host, or its CPU if it has no GPU. With TF_CONFIG, call this before TensorFlow computes
    anything.

    Raises:
      UserError: if TF_CONFIG is invalid or the cluster can't be joined.
    """
    if not _cluster():
        return local_strategy()
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise UserError(f"TF_CONFIG: the cluster {_cluster()} can't be joined: {error}") from error


def local_strategy() -> tf.distribute.Strategy:
    """Returns MirroredStrategy over all GPUs of this host, or its CPU if it has no GPU."""
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
        raise UserError(
            'TF_CONFIG: expected {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}, '
            f"got {text!r} ({error})."
        ) from error
    return cluster


def batches(strategy: tf.distribute.Strategy, make_dataset: Callable[[tf.distribute.InputContext], tf.data.Dataset]):
    """Returns an iterator over the batches of a strategy.

    Args:
      strategy: the strategy.
      make_dataset: returns the batches of a process, one for each of its replicas in turn.
    """
    if is_plain(strategy):
        return iter(make_dataset(tf.distribute.InputContext()))
    return iter(strategy.distribute_datasets_from_function(make_dataset))


def is_plain(strategy: tf.distribute.Strategy) -> bool:
    """Returns whether a strategy is a single CPU, which can read a dataset itself.

    The strategy's own iterator has a second buffer, whose thread for tuning can't be turned off; see
    `image_store.parallel_map`.
    """
    return strategy.num_replicas_in_sync == 1 and not tf.config.list_logical_devices("GPU")


def worker_name(strategy: tf.distribute.Strategy) -> str:
    """Returns the name of this process in the cluster, such as `worker-1`, or "" if it is the only process."""
    resolver = strategy.cluster_resolver
    return f"{resolver.task_type}-{resolver.task_id}" if resolver and resolver.task_type else ""


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Returns whether this process writes checkpoints, logs and results."""
    names = _cluster()
    return worker_name(strategy) in ("", "chief-0" if "chief" in names else "worker-0")


def check_replicas(
    strategy: tf.distribute.Strategy, batch_size: int, gradient_accumulation: int, *, xla: bool
) -> None:
    """Checks options against the number of replicas.

    Raises:
      UserError: if the batch can't be split evenly, or `xla` is set with several replicas.
    """
    replicas = strategy.num_replicas_in_sync
    if batch_size % (replicas * gradient_accumulation):
        raise UserError(
            f"batch_size: expected a multiple of the {replicas} devices times "
            f"gradient_accumulation = {gradient_accumulation}, got {batch_size}."
        )
    if xla and replicas > 1:  # XLA can't compile batch statistics over replicas
        raise UserError(f"xla: expected False with {replicas} devices, got True.")


# Errors of collective operations after another process has stopped. Other errors are of this process itself.
_LOST_WORKER = (
    tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError,
)
_LOST_WORKER_MESSAGE = re.compile("collective|remote|connection|grpc", re.IGNORECASE)


@contextlib.contextmanager
def explain_lost_workers(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Turns TensorFlow's errors about a lost process of the run into a message for the user.

    Raises:
      Interrupted: with this message; the run can be resumed.
    """
    try:
        yield
    except tf.errors.OpError as error:
        is_internal = isinstance(error, tf.errors.InternalError) and _LOST_WORKER_MESSAGE.search(error.message)
        if not worker_name(strategy) or not (is_internal or isinstance(error, _LOST_WORKER)):
            raise
        logging.debug("The error in full:", exc_info=True)
        raise Interrupted(
            f"{worker_name(strategy)} can't continue: another worker has stopped or can't be reached. Read its log, "
            "then start all workers again; they resume from the last checkpoint."
        ) from error


def check_same_on_all_workers(strategy: tf.distribute.Strategy, facts: Mapping[str, str]) -> None:
    """Checks that facts are the same in all processes of the run.

    Args:
      strategy: the strategy of the run.
      facts: name -> text; the same names in all processes.

    Raises:
      UserError: if texts differ; the message has their names.
    """
    if not worker_name(strategy):
        return
    checksums = tf.constant([[zlib.crc32(text.encode()) % 2**31 for text in facts.values()]], tf.int32)

    @tf.function
    def gather():
        return strategy.run(lambda: tf.distribute.get_replica_context().all_gather(checksums, axis=0))

    gathered = strategy.experimental_local_results(gather())[0].numpy()
    different = [fact for fact, column in zip(facts, gathered.T) if len(set(column.tolist())) > 1]
    if different:
        raise UserError(
            f"The workers of this run differ in: {', '.join(different)}. Start all of them with the same command, the "
            "same data and a shared --workdir."
        )


def barrier(strategy: tf.distribute.Strategy) -> None:
    """Waits until all processes of the run have called this."""
    if worker_name(strategy):
        for sum_of_all in strategy.experimental_local_results(_sum_over_workers(strategy)()):
            sum_of_all.numpy()


@functools.cache
def _sum_over_workers(strategy: tf.distribute.Strategy):
    @tf.function
    def add():
        context = tf.distribute.get_replica_context
        return strategy.run(lambda: context().all_reduce(tf.distribute.ReduceOp.SUM, tf.constant(1.0)))

    return add
