"""Counts the floating-point operations of a training step in the traced graph of a real step of a small batch."""
from __future__ import annotations

import re
from unittest import mock

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from ornet_tf import build, randomness
from ornet_tf.models import winograd
from ornet_tf.training import phases, step

# The operations that a GPU's peak rate refers to. The rest of a step is element-wise and bound by memory.
PRODUCTS = ("Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter", "MatMul", "BatchMatMulV2")
_SIMILAR = re.compile(r"Conv\dD|Conv2d|MatMul|Einsum")


def count_flops(traced) -> dict[str, int]:
    """Counts floating-point operations with TensorFlow's own counter; a multiplication with its addition counts as two.

    Only operations that the results need are counted. Gradients of convolutions are always traced for both the input
    and the kernel, but kernel gradients of frozen layers are never computed, and therefore not counted.

    Args:
      traced: a concrete function with static shapes.

    Returns:
      Type of operation -> FLOPs: all of `PRODUCTS`, and "other" for all other operations that the counter knows.

    Raises:
      ValueError: if the graph has products that would not be counted.
    """
    definition = traced.graph.as_graph_def(add_shapes=True)
    results = [output.op.name for output in traced.graph.outputs] + [op.name for op in traced.graph.control_outputs]
    needed = tf.compat.v1.graph_util.extract_sub_graph(definition, list(dict.fromkeys(results)))
    inside = [node.op for function in needed.library.function for node in function.node_def]
    unknown = {node.op for node in needed.node if node.op not in PRODUCTS} | {*inside}
    unknown = sorted(filter(_SIMILAR.search, unknown))
    if unknown:
        raise ValueError(f"Expected products of the types {', '.join(PRODUCTS)}, in no inner function; got {unknown}.")
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(needed, name="")
    options = {**tf.compat.v1.profiler.ProfileOptionBuilder.float_operation(), "output": "none"}
    counts, rest = {}, [tf.compat.v1.profiler.profile(graph, cmd="op", options=options)]
    while rest:
        node = rest.pop()
        counts[node.name] = node.float_ops
        rest.extend(node.children)
    products = {name: counts.get(name, 0) for name in PRODUCTS}
    return {**products, "other": sum(counts.values()) - sum(products.values())}


class Step:
    """The training step of a phase, as in `ornet_tf.train`, on one batch of noise and with random weights.

    It runs on one device: the first GPU, or else the CPU. `cache_frozen_features`, `xla` and `gradient_accumulation`
    are not supported.
    """

    def __init__(self, config: ConfigDict, name: str, *, num_classes: int, batch_size: int):
        """Builds the step without tracing it.

        Args:
          config: the whole configuration; its data set is not used.
          name: of the phase.
          num_classes: K.
          batch_size: of the step; it replaces that of the phase.
        """
        config = build.drop_start_weights(config)
        section, devices = config.phase[name], tf.config.list_logical_devices("GPU")[:1] or ["CPU:0"]
        self._strategy, self._batch_size = tf.distribute.MirroredStrategy(devices), batch_size
        with self._strategy.scope():
            method, trained = phases.build_phase(config, name, num_classes, steps=100)
        self._step = step.TrainingStep(
            self._strategy, method, trained, section.losses.to_dict(), steps=100, batch_size=batch_size,
            scale_loss=section.precision == "float16",
        )
        rng, index, side = np.random.default_rng(0), tf.range(batch_size, dtype=tf.int64), config.input.crop
        self._batch = {
            "image": tf.constant(rng.uniform(0, 255, [batch_size, side, side, 3]), tf.float32),
            "mirrored": tf.zeros([batch_size], tf.bool),
            "label": tf.constant(rng.integers(0, num_classes, [batch_size]), tf.int32),
            "index": index,
            "key": randomness.key(0, tf.constant(0, tf.int64), index),
        }

    def flops(self) -> dict[str, float]:
        """Returns the counts of `count_flops` per image, with every convolution computed directly (no Winograd)."""
        with mock.patch.object(winograd, "is_faster", return_value=False):
            traced = tf.function(self._step._run_step).get_concrete_function(self._batch, tf.constant(0))
        return {kind: count / self._batch_size for kind, count in count_flops(traced).items()}

    def seconds(self, count: int) -> float:
        """Returns the seconds per step on this machine, the mean of `count` steps, computed as in training."""
        batches = tf.data.Dataset.from_tensors(self._batch).cache().repeat()
        iterator = iter(self._strategy.experimental_distribute_dataset(batches))
        self._step.run(iterator, 0, 1)  # traces, allocates
        return self._step.run(iterator, 1, count).seconds / count
