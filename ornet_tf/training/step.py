"""The training loop that runs in the graph: batch -> losses -> gradients -> update, many steps to a call.

It is the same for every method, and the only place that computes gradients to train by.
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
from ornet_tf.training.frozen_features import FrozenFeatures
from ornet_tf.training.loss_scale import LossScale
from ornet_tf.training.objective import Objective
from ornet_tf.training.summaries import observations


class Steps(typing.NamedTuple):
    """What some steps in a row gave.

    Attributes:
      names: of the M metrics.
      values: float32 [n, M], a row for each step that was made.
      seconds: that they took.
      waiting: seconds of these in which the step had to wait for its batch.
      stopped: whether one of the processes was asked to stop.
      not_finite: "part/layer/kind" of what training accumulates (moving statistics, sums of features) and is NaN or
        infinite after the last of these steps.
    """

    names: list[str]
    values: np.ndarray
    seconds: float
    waiting: float
    stopped: bool
    not_finite: list[str]


class TrainingStep:
    """The steps of one phase."""

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
          strategy: what distributes the batch.
          method: the method.
          optimizers: (optimiser, its variables) pairs, of `ornet_tf.training.optimizers`.
          losses: name -> what `ornet_tf.config.loss` returns.
          steps: of the whole phase: ramps are shares of it.
          batch_size: of all replicas together. Every loss is a sum divided by it; gradients add up over the replicas.
          gradient_accumulation: parts of a replica's batch. Memory and batch normalisation are those of one part.
          scale_loss: for float16: whether the loss is multiplied, so that small gradients do not vanish; steps whose
            gradients overflow are left out, and halve the factor.
          xla: whether XLA compiles forward and backward pass.

        Raises:
          UserError: see `workers.check_replicas`.
        """
        self._strategy, self._method, self.optimizers = strategy, method, optimizers
        self._objective = Objective(losses, steps=steps, batch_size=batch_size)
        self._variables = [v for _, members in optimizers for v in members]
        paths = {id(v): path for path, v in method.trainable_variables.items()}
        self._parts = [paths[id(v)].split("/")[0] for v in self._variables]
        self._statistics = variables.named_statistics(method.parts)
        self._batch_size, self._gradient_accumulation = batch_size, gradient_accumulation
        self._frozen_features: FrozenFeatures | None = None
        distribution.check_replicas(strategy, batch_size, gradient_accumulation, xla=xla)
        compiled = tf.function(self._gradients_and_metrics, jit_compile=True)
        self._differentiate, self._xla = compiled if xla else self._gradients_and_metrics, xla
        self._names: list[str] = []
        with tf.device("CPU:0"):
            # Set from another thread while the loop runs.
            self._asked_to_stop = tf.Variable(False, trainable=False, name="asked_to_stop")
            self._loss_scale = LossScale(scale_loss)
        self.state, self._scale_loss = self._loss_scale.state, scale_loss  # the first for the checkpoint
        self._loop = tf.function(self._run_loop)

    def use_frozen_features(self, frozen_features: FrozenFeatures) -> None:
        """Takes what frozen parts make of the images from there, instead of computing it in each step."""
        self._frozen_features = frozen_features

    def stop(self) -> None:
        """Ends the loop after the step that it is in or the next one, on all hosts; may be called from any thread."""
        self._asked_to_stop.assign(True)

    def run(self, iterator, first_step: int, count: int) -> Steps:
        """Trains for `count` steps, or fewer after `stop` or a step after which something is not finite.

        Metrics are looked at, and what the model accumulates.

        Args:
          iterator: over the batches of the strategy, the first one of `first_step`.
          first_step: the global step, counted from 0.
          count: how many steps.
        """
        with _without_joined_sums():
            values, seconds, waiting, flags = self._loop(iterator, tf.constant(first_step), tf.constant(count))
        asked, broken = map(bool, flags.numpy())
        not_finite = [n for n, v in self._statistics.items() if broken and not np.isfinite(np.asarray(v)).all()]
        return Steps(list(self._names), values.numpy(), float(seconds), float(waiting), asked, not_finite)

    def _run_loop(self, iterator, first_step, count):
        history = tf.TensorArray(tf.float32, size=0, dynamic_size=True)
        index, go_on = 0, True
        begin = finished = tf.timestamp()
        waiting, flags = tf.constant(0.0, tf.float64), tf.zeros([2])
        while tf.logical_and(index < count, go_on):
            # In order, whatever the executor would overlap: else the time that a step waits could not be told from
            # the time in which the step before it computes.
            with tf.control_dependencies([finished]):
                batch = next(iterator)
            with tf.control_dependencies(self._local_tensors(batch)):
                waiting += tf.timestamp() - finished
            row, flags = self._train(batch, first_step + index)
            history = history.write(index, row)
            with tf.control_dependencies([row]):
                finished = tf.timestamp()
            go_on = tf.logical_and(tf.reduce_all(tf.math.is_finite(row)), tf.reduce_all(tf.equal(flags, 0.0)))
            index += 1
        return history.stack(), finished - begin, waiting, flags > 0.0

    def _train(self, batch, step):
        """Makes one step; returns its metrics [M] and the numbers of replicas that should stop and that are broken."""
        asked = tf.cast(self._asked_to_stop.read_value(), tf.float32)
        outcome = self._strategy.run(self._step_of_replica, (batch, step, asked, self._loss_scale.read()))
        if self._scale_loss:
            row = self._update_unless_overflow(*outcome)
        else:
            row = self._strategy.reduce(tf.distribute.ReduceOp.SUM, outcome, axis=None)
        return row[:-2], row[-2:]

    def _local_tensors(self, batch):
        return [t for value in tf.nest.flatten(batch) for t in self._strategy.experimental_local_results(value)]

    def _step_of_replica(self, batch, step, asked, scale):
        """Returns this replica's share of the metrics and of `_train`'s two numbers: [M + 2]."""
        gradients, metrics = self._accumulated(batch, step, scale)
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync > 1:
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        gradients = [g / tf.cast(scale, g.dtype) for g in gradients] if self._scale_loss else gradients
        metrics.update(self._gradient_norms(gradients))
        if self._scale_loss:
            metrics["loss_scale"] = scale / context.num_replicas_in_sync  # halved after each step that was left out
        self._names[:] = list(metrics)
        # Losses can be finite where these are not; what they have summed up is spoiled for good.
        finite = [tf.reduce_all(tf.math.is_finite(tf.convert_to_tensor(v))) for v in self._statistics.values()]
        row = tf.stack([*metrics.values(), asked, 1.0 - tf.cast(tf.reduce_all([True, *finite]), tf.float32)])
        if self._scale_loss:
            return row, gradients
        self._update(gradients)
        return row

    def _accumulated(self, batch, step, scale):
        """Adds gradients and metrics up over the parts of this replica's batch, one part after the other."""
        if self._frozen_features is not None:
            batch = {**batch, **self._frozen_features.lookup(batch["index"], batch["mirrored"])}
        total, size = (), self._batch_size // self._strategy.num_replicas_in_sync // self._gradient_accumulation
        for part in range(self._gradient_accumulation):
            # One after the other: else the executor would hold the activations of several parts at once.
            with tf.control_dependencies(tf.nest.flatten(total)):
                chosen = {key: value[part * size : (part + 1) * size] for key, value in batch.items()}
            new = self._differentiate(chosen, step, scale)
            total = new if not total else tf.nest.map_structure(tf.add, total, new)
        return total

    def _gradients_and_metrics(self, batch, step, scale):
        faster = contextlib.nullcontext() if self._xla else winograd.enable()
        with randomness.examples(batch["key"]), faster:
            outputs = {**batch, **self._method.forward(batch, training=True)}
            total, terms = self._objective(outputs, step)
            scaled = total * scale if self._scale_loss else total
        # A variable that no loss depends on, such as those of a head without a loss, stays as it is. Of what is used
        # several times the gradients are added up two by two: AddN, which a tape would take, begins with whichever of
        # its inputs is free to be overwritten, so that of three the rounding differs from run to run.
        gradients = tf.gradients(
            scaled, self._variables, unconnected_gradients=tf.UnconnectedGradients.ZERO,
            aggregation_method=tf.AggregationMethod.EXPERIMENTAL_TREE,
        )
        gradients = [tf.identity(g) for g in gradients]  # zeros have no device, which collectives want to know
        return gradients, {"loss": total, **terms, **observations(outputs, self._batch_size, self._objective.inputs)}

    def _gradient_norms(self, gradients):
        """Returns the L2 norm of all gradients and of those of each part: what each replica adds to the sum."""
        squares = [tf.reduce_sum(tf.square(tf.cast(g, tf.float32))) for g in gradients]
        groups = {"gradient_norm": squares}
        for part, square in zip(self._parts, squares):
            groups.setdefault(f"gradient_norm/{part}", []).append(square)
        replicas = self._strategy.num_replicas_in_sync
        # Stacked: the order in which tf.add_n adds is not the same in every process.
        return {name: tf.sqrt(tf.reduce_sum(tf.stack(members))) / replicas for name, members in groups.items()}

    def _update(self, gradients):
        start = 0
        for optimizer, members in self.optimizers:
            optimizer.apply_gradients(list(zip(gradients[start : start + len(members)], members)))
            start += len(members)

    def _update_unless_overflow(self, row, gradients):
        """Makes float16's update where all gradients are finite, and moves the scale; returns the row [M + 2].

        A gradient that overflows at any scale stays in the row, and ends the run.
        """
        row = self._strategy.reduce(tf.distribute.ReduceOp.SUM, row, axis=None)
        is_norm = tf.constant([name.startswith("gradient_norm") for name in self._names] + [False] * 2)
        finite = tf.reduce_all(tf.math.is_finite(tf.boolean_mask(row, is_norm)))

        def update():
            self._strategy.run(self._update, args=(gradients,))
            return tf.constant(True)

        tf.cond(finite, update, lambda: tf.constant(False))
        last_try = self._loss_scale.move(finite)
        return tf.where(is_norm & ~finite & ~last_try, 0.0, row)


@contextlib.contextmanager
def _without_joined_sums() -> Iterator[None]:
    """Keeps TensorFlow's graph optimiser from joining sums of two into an AddN of many; see `_gradients_and_metrics`.

    The option holds for all that runs meanwhile. It is restored, so that evaluation gives the same numbers whether it
    comes after training in one process or not.
    """
    option = "arithmetic_optimization"
    before = tf.config.optimizer.get_experimental_options().get(option)
    tf.config.optimizer.set_experimental_options({option: False})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({option: before})
