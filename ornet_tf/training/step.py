"""The training steps, many in one graph: batch -> losses -> gradients -> update.

All methods use them. No other module computes gradients for training.
"""
from __future__ import annotations

import contextlib
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from ornet_tf import randomness
from ornet_tf.methods import Method
from ornet_tf.models import variables, winograd
from ornet_tf.runs import distribution
from ornet_tf.training.frozen_features import CachedFeatures
from ornet_tf.training.loss_scale import LossScale
from ornet_tf.training.objective import Objective
from ornet_tf.training.summaries import observations


class StepResults(typing.NamedTuple):
    """The results of consecutive steps.

    Attributes:
      names: the names of the M metrics.
      values: float32 [n, M], the metrics of each step.
      seconds: the duration of all steps.
      waiting: the part of `seconds` in which steps waited for their batch.
      stopped: whether one of the processes was asked to stop.
      not_finite: "part/layer/kind" of the accumulated statistics (moving statistics, sums of features) that are NaN or
        infinite after the last step.
    """

    names: list[str]
    values: np.ndarray
    seconds: float
    waiting: float
    stopped: bool
    not_finite: list[str]


class TrainingStep:
    """The training steps of one phase; `kernels` are the frozen kernels that they have mapped."""

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        method: Method,
        optimizers: Sequence[tuple[Any, Sequence[Any]]],
        losses: Mapping[str, Mapping[str, Any]],
        *,
        steps: int,
        batch_size: int,
        gradient_accumulation: int = 1,
        scale_loss: bool = False,
        xla: bool = False,
    ):
        """Prepares the loop; nothing is traced yet.

        Args:
          strategy: the strategy that distributes the batch.
          method: the method.
          optimizers: (optimizer, its variables) pairs; see `ornet_tf.training.optimizers`.
          losses: term name -> the fields that `ornet_tf.config.loss` returns.
          steps: the steps of the whole phase; ramps are shares of it.
          batch_size: the global batch size. Each loss is a sum divided by it; gradients are summed over the replicas.
          gradient_accumulation: the number of parts of a replica's batch; memory and batch statistics are those of one.
          scale_loss: for float16: whether to use loss scaling. Steps whose gradients overflow make no update.
          xla: whether XLA compiles the forward and backward pass.

        Raises:
          UserError: see `distribution.check_replicas`.
        """
        self._strategy, self._method, self.optimizers = strategy, method, optimizers
        self._objective = Objective(losses, steps=steps, batch_size=batch_size)
        self._variables = [v for _, members in optimizers for v in members]
        paths = {id(v): path for path, v in method.trainable_variables.items()}
        self._parts = [paths[id(v)].split("/")[0] for v in self._variables]
        self._statistics = variables.named_statistics(method.parts)
        self.kernels = winograd.MappedKernels(for_gradients=True)
        self._batch_size, self._gradient_accumulation = batch_size, gradient_accumulation
        self._names, self._frozen_features = [], None
        distribution.check_replicas(strategy, batch_size, gradient_accumulation, xla=xla)
        compiled = tf.function(self._gradients_and_metrics, jit_compile=True)
        self._differentiate, self._xla = compiled if xla else self._gradients_and_metrics, xla
        with tf.device("CPU:0"):
            self._asked_to_stop = tf.Variable(False, trainable=False, name="asked_to_stop")  # by another thread
            self._loss_scale = LossScale(scale_loss)
        self.state, self._scale_loss = self._loss_scale.state, scale_loss  # `state` is for checkpoints
        # Not inlined: in the loop's graph, a cycle, the pass that inserts oneDNN's operations can miss some of them.
        apart = tf.function(self._run_step, experimental_attributes={"_noinline": True})
        self._step = apart if distribution.is_plain(strategy) else self._run_step
        self._loop = tf.function(self._run_loop)

    def use_frozen_features(self, frozen_features: CachedFeatures | None) -> None:
        """Uses cached features of frozen parts instead of computing them in each step; None computes them."""
        self._frozen_features = frozen_features

    def stop(self) -> None:
        """Stops the loop on all hosts after the current or the next step. Any thread may call it."""
        self._asked_to_stop.assign(True)

    def run(self, iterator, first_step: int, count: int) -> StepResults:
        """Trains for `count` steps; fewer after `stop`, or if a metric or an accumulated statistic is not finite.

        Args:
          iterator: iterates over the batches of the strategy; the first is that of `first_step`.
          first_step: the global step, counted from 0.
          count: the number of steps.
        """
        with _keep_sums_apart():
            values, seconds, waiting, flags = self._loop(iterator, tf.constant(first_step), tf.constant(count))
        if self._frozen_features is not None:
            self._frozen_features.release_memory()
        asked, broken = map(bool, flags.numpy())
        not_finite = [n for n, v in self._statistics.items() if broken and not np.isfinite(np.asarray(v)).all()]
        return StepResults(list(self._names), values.numpy(), float(seconds), float(waiting), asked, not_finite)

    def _run_loop(self, iterator, first_step, count):
        history = tf.TensorArray(tf.float32, size=0, dynamic_size=True)
        index, is_running = 0, True
        begin = finished = tf.timestamp()
        waiting, flags = tf.constant(0.0, tf.float64), tf.zeros([2])
        while tf.logical_and(index < count, is_running):
            # In order: else waiting can't be told from computing, of the same step (one thread) or of the one before.
            with tf.control_dependencies([finished]):
                batch = next(iterator)
            with tf.control_dependencies(self._local_tensors(batch)):
                started = tf.timestamp()
            with tf.control_dependencies([started]):
                row, flags = self._step(batch, first_step + index)
            waiting += started - finished
            history = history.write(index, row)
            with tf.control_dependencies([row]):
                finished = tf.timestamp()
            is_running = tf.logical_and(tf.reduce_all(tf.math.is_finite(row)), tf.reduce_all(tf.equal(flags, 0.0)))
            index += 1
        return history.stack(), finished - begin, waiting, flags > 0.0

    @tf.autograph.experimental.do_not_convert  # which takes seconds; only the loop has control flow on tensors
    def _run_step(self, batch, step):
        """Runs one step; returns its metrics [M] and the numbers of stopping and of non-finite replicas [2]."""
        asked = tf.cast(self._asked_to_stop.read_value(), tf.float32)
        outcome = self._strategy.run(self._run_replica_step, (batch, step, asked, self._loss_scale.read()))
        if self._scale_loss:
            row = self._update_unless_overflow(*outcome)
        else:
            row = self._strategy.reduce(tf.distribute.ReduceOp.SUM, outcome, axis=None)
        return row[:-2], row[-2:]

    def _local_tensors(self, batch):
        return [t for value in tf.nest.flatten(batch) for t in self._strategy.experimental_local_results(value)]

    def _run_replica_step(self, batch, step, asked, scale):
        """Returns this replica's share of the metrics and of `_run_step`'s two numbers: [M + 2]."""
        gradients, metrics = self._accumulate(batch, step, scale)
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync > 1:
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        gradients = [g / tf.cast(scale, g.dtype) for g in gradients] if self._scale_loss else gradients
        metrics.update(self._gradient_norms(gradients))
        if self._scale_loss:
            metrics["loss_scale"] = scale / context.num_replicas_in_sync  # the sum over replicas is the scale
        self._names[:] = list(metrics)
        # A loss can be finite although these are not, and sums never become finite again.
        finite = [tf.reduce_all(tf.math.is_finite(tf.convert_to_tensor(v))) for v in self._statistics.values()]
        row = tf.stack([*metrics.values(), asked, 1.0 - tf.cast(tf.reduce_all([True, *finite]), tf.float32)])
        if self._scale_loss:
            return row, gradients
        self._update(gradients)
        return row

    def _accumulate(self, batch, step, scale):
        """Sums gradients and metrics over the parts of this replica's batch, one part after the other."""
        if self._frozen_features is not None:
            batch = {**batch, **self._frozen_features.lookup(batch["index"], batch["mirrored"])}
        total, size = (), self._batch_size // self._strategy.num_replicas_in_sync // self._gradient_accumulation
        for part in range(self._gradient_accumulation):
            # In order: otherwise the executor would keep the activations of several parts at once.
            with tf.control_dependencies(tf.nest.flatten(total)):
                chosen = {key: value[part * size : (part + 1) * size] for key, value in batch.items()}
            new = self._differentiate(chosen, step, scale)
            total = new if not total else tf.nest.map_structure(tf.add, total, new)
        return total

    def _gradients_and_metrics(self, batch, step, scale):
        convolutions = contextlib.nullcontext() if self._xla else winograd.enable(self.kernels)
        with randomness.examples(batch["key"]), convolutions:
            outputs = {**batch, **self._method.forward(batch, training=True)}
            total, terms = self._objective(outputs, step)
            scaled = total * scale if self._scale_loss else total
        # Variables without influence get zeros. Gradients of a tensor that is used several times are summed in pairs: a
        # tape's AddN starts with any input that it may overwrite, so the rounding of three would differ between runs.
        gradients = tf.gradients(
            scaled, self._variables, unconnected_gradients=tf.UnconnectedGradients.ZERO,
            aggregation_method=tf.AggregationMethod.EXPERIMENTAL_TREE,
        )
        gradients = [tf.identity(g) for g in gradients]  # zeros have no device, which collectives need
        return gradients, {"loss": total, **terms, **observations(outputs, self._batch_size, self._objective.inputs)}

    def _gradient_norms(self, gradients):
        """Returns this replica's share of the L2 norms of all gradients and of each part's gradients."""
        squares = [tf.reduce_sum(tf.square(tf.cast(g, tf.float32))) for g in gradients]
        groups = {"gradient_norm": squares}
        for part, square in zip(self._parts, squares):
            groups.setdefault(f"gradient_norm/{part}", []).append(square)
        replicas = self._strategy.num_replicas_in_sync
        # tf.stack: the order of the sum in tf.add_n differs between processes.
        return {name: tf.sqrt(tf.reduce_sum(tf.stack(members))) / replicas for name, members in groups.items()}

    def _update(self, gradients):
        remaining = iter(gradients)
        for optimizer, members in self.optimizers:
            optimizer.apply_gradients([(next(remaining), variable) for variable in members])

    def _update_unless_overflow(self, row, gradients):
        """Updates weights if all gradients are finite, and updates the loss scale; returns the row [M + 2].

        Non-finite gradient norms become 0 in the row, except at the lowest scale: there they stop the run.
        """
        row = self._strategy.reduce(tf.distribute.ReduceOp.SUM, row, axis=None)
        is_norm = tf.constant([name.startswith("gradient_norm") for name in self._names] + [False] * 2)
        finite = tf.reduce_all(tf.math.is_finite(tf.boolean_mask(row, is_norm)))

        def update():
            self._strategy.run(self._update, args=(gradients,))
            return tf.constant(True)

        tf.cond(finite, update, lambda: tf.constant(False))
        was_lowest = self._loss_scale.update(finite)
        return tf.where(is_norm & ~finite & ~was_lowest, 0.0, row)


@contextlib.contextmanager
def _keep_sums_apart() -> Iterator[None]:
    """Keeps TensorFlow's graph optimizer from joining sums of two into an AddN; see `_gradients_and_metrics`.

    The option is global. It is restored: an evaluation that follows must give the numbers of a process of its own.
    """
    option = "arithmetic_optimization"
    before = tf.config.optimizer.get_experimental_options().get(option)
    tf.config.optimizer.set_experimental_options({option: False})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({option: before})
