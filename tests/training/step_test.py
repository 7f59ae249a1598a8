import contextlib
import functools
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context

from ornet_tf.compat import keras
from ornet_tf.models import winograd
from ornet_tf.training import loss_scale
from ornet_tf.training import step as step_module
from tests.training.tiny_steps import TWO, assert_close, make, train


@pytest.mark.slow
def test_a_step_with_winograd_convolutions_is_close_to_one_without(monkeypatch):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind=None: [])
    monkeypatch.setattr(winograd, "MIN_TILES", 16)

    def fix_erasing(section):  # an untrained map is near the default threshold: rounding would move pixels across it
        section.options.erasing_options.candidate_threshold = 0.0

    def step():
        return train("stage_two", backbone="vgg16", change=fix_erasing)

    first, second = step(), step()
    monkeypatch.setattr(winograd, "MIN_CHANNELS", 10**6)
    plain = step()
    for filtered, again, expected in zip(first, second, plain):
        assert_close(filtered, again, rtol=0)
        assert_close(filtered, expected, rtol=1e-3, atol=1e-5)
    assert any(not np.array_equal(first[2][name], value) for name, value in plain[2].items())


def test_no_sum_of_a_step_depends_on_the_order_of_its_inputs():
    step, iterator, _ = make("stage_two")  # its map has several losses
    graph = step._loop.get_concrete_function(iterator, tf.constant(0), tf.constant(1)).graph.as_graph_def()
    sums = [n for function in graph.library.function for n in function.node_def if n.op == "AddN"]
    assert sums
    assert [n.name for n in sums if n.attr["N"].i > 2] == []


def test_a_step_starts_after_the_clock_is_read():
    """With one thread, the clock would otherwise be read after the step, and its time count as waiting."""
    step, iterator, _ = make("evaluator")
    graph = step._loop.get_concrete_function(iterator, tf.constant(0), tf.constant(1)).graph.as_graph_def()
    body, = (function for function in graph.library.function if any(n.op == "Timestamp" for n in function.node_def))
    inputs = {node.name: {name.lstrip("^").split(":")[0] for name in node.input} for node in body.node_def}
    call, = (node.name for node in body.node_def if node.op == "StatefulPartitionedCall")
    after_batch, = (n.name for n in body.node_def if n.op == "Timestamp" and call not in inputs[n.name])
    assert any(after_batch in inputs.get(name, ()) for name in (call, *inputs[call]))


def graphs_of_a_step(step, iterator):
    """Runs a step outside of the loop, where its own graphs are collected, and returns them."""
    context.context().enable_graph_collection()
    try:
        with step_module._keep_sums_apart():
            step._step(next(iterator), tf.constant(0))
        return context.context().export_run_metadata().function_graphs
    finally:
        context.context().disable_graph_collection()


@pytest.fixture(scope="module", name="graphs")
def _graphs():
    return graphs_of_a_step(*make("stage_two")[:2])


def sums_in_optimized_graph(graphs):
    """Returns the names of sums of more than two inputs after graph optimization."""
    nodes = [n for g in graphs for n in g.post_optimization_graph.node]
    nodes += [n for g in graphs for f in g.post_optimization_graph.library.function for n in f.node_def]
    return [n.name for n in nodes if n.op == "AddN" and n.attr["N"].i > 2]


def test_the_graph_optimizer_joins_no_sums_and_its_options_are_restored(graphs, monkeypatch):
    assert sums_in_optimized_graph(graphs) == []
    before = tf.config.optimizer.get_experimental_options()
    with step_module._keep_sums_apart():
        assert tf.config.optimizer.get_experimental_options() != before
    assert tf.config.optimizer.get_experimental_options() == before  # so that evaluation gives the same numbers
    monkeypatch.setattr(step_module, "_keep_sums_apart", contextlib.nullcontext)
    assert sums_in_optimized_graph(graphs_of_a_step(*make("stage_two")[:2])) != []


def test_onednn_computes_all_gradients_of_pooling(graphs):
    operations = {node.op for graph in graphs for part in graph.partition_graphs for node in part.node}
    if not any(operation.startswith("_Mkl") for operation in operations):
        pytest.skip("oneDNN is off")
    assert {operation for operation in operations if "MaxPoolGrad" in operation} == {"_MklNativeMaxPoolGrad"}


@functools.cache
def on_one_device(phase):
    """Returns what `train` returns."""
    return train(phase)


@pytest.mark.parametrize(  # stage one trains the parts of the evaluator, too
    "phase", ["stage_one", *(pytest.param(name, marks=pytest.mark.slow) for name in ("stage_two", "adl"))]
)
def test_two_replicas_have_the_gradients_of_one(phase):
    one, weights, moments = on_one_device(phase)
    two, other_weights, other_moments = train(phase, TWO)
    assert_close(one, two, atol=1e-5, rtol=1e-5)
    # After one step Adam's first and second moments are 0.1 g and 0.001 g^2 of the gradient g.
    assert max(np.abs(m).max() for m in moments.values()) > 1e-3
    assert_close(moments, other_moments, atol=1e-6)
    statistics = {n: v for n, v in weights.items() if "moving" in n}
    for name, value in statistics.items():
        # Keras 2.15: fused batch norm stores N / (N - 1) times the variance of N values, synchronized one does not.
        is_scaled = keras.__version__.startswith("2.") and "variance" in name
        np.testing.assert_allclose(value, other_weights[name], atol=1e-2 if is_scaled else 1e-5, err_msg=name)


def test_accumulated_gradients_are_the_sum_over_the_parts():
    step, iterator, _ = make("evaluator", gradient_accumulation=4)
    batch = next(iterator)
    gradients, metrics = tf.function(step._accumulate)(batch, tf.constant(0), tf.constant(1.0))
    expected = None
    for part in range(4):
        chosen = {key: value[2 * part : 2 * part + 2] for key, value in batch.items()}
        new = tf.function(step._gradients_and_metrics)(chosen, tf.constant(0), tf.constant(1.0))
        expected = new if expected is None else tf.nest.map_structure(tf.add, expected, new)
    for actual, wanted in zip(gradients, expected[0]):
        np.testing.assert_allclose(actual, wanted, atol=1e-6)
    np.testing.assert_allclose(metrics["loss"], expected[1]["loss"], atol=1e-6)


@pytest.mark.slow
def test_xla_gives_the_same_results_without_random_numbers():
    phase = "stage_two"
    plain, weights, _ = train(phase, dropout=0.0, change=without_randomness)
    compiled, other, _ = train(phase, dropout=0.0, change=without_randomness, xla=True)
    assert_close(plain, compiled, atol=1e-4, rtol=1e-4)
    assert_close(weights, other, atol=2e-3 + 1e-4)  # Adam's first step moves every weight by the learning rate


def without_randomness(section):
    if "erasing" in section.options:
        section.options.erasing = None
    if "mask_probability" in section.options:
        section.options.mask_probability = 0.0


@functools.cache
def in_single_precision():
    """Returns the metrics of two steps."""
    return train("stage_two", steps=2)[0]


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "tolerance"), [("bfloat16", 0.15), ("float16", 0.03)])
def test_half_precision_is_close_to_single_and_weights_are_float32(precision, tolerance):
    single = in_single_precision()
    half, weights, _ = train("stage_two", steps=2, precision=precision, scale_loss=precision == "float16")
    assert {v.dtype for v in weights.values()} == {np.dtype(np.float32)}
    np.testing.assert_allclose(half["loss"], single["loss"], rtol=tolerance)
    assert not np.array_equal(half["loss"], single["loss"])


def test_float16_skips_a_step_that_overflows_and_halves_the_scale():
    step, iterator, variables = make("evaluator", precision="float16", scale_loss=True)
    step.state["loss_scale"].assign(2.0**40)
    before = {n: np.asarray(v) for n, v in variables.items() if "moving" not in n}
    done = step.run(iterator, 0, 1)
    for name, value in before.items():
        np.testing.assert_array_equal(value, np.asarray(variables[name]), err_msg=name)
    assert step.state["loss_scale"].numpy() == 2.0**39
    assert done.values[0, done.names.index("gradient_norm")] == 0
    assert done.values[0, done.names.index("loss_scale")] == 2.0**40
    step.state["loss_scale"].assign(1024.0)
    step.run(iterator, 1, 1)
    assert any(not np.array_equal(value, np.asarray(variables[name])) for name, value in before.items())
    assert step.state["good_steps"].numpy() == 1


def test_the_loss_scale_doubles_after_enough_finite_steps():
    step, iterator, _ = make("evaluator", precision="float16", scale_loss=True)
    step.state["loss_scale"].assign(8.0)
    step.state["good_steps"].assign(loss_scale.GROWTH_STEPS - 1)
    step.run(iterator, 0, 1)
    assert step.state["loss_scale"].numpy() == 16.0
    assert step.state["good_steps"].numpy() == 0


def test_statistics_that_are_not_finite_stop_the_loop_at_their_step():
    step, iterator, variables = make("evaluator", TWO)
    assert step.run(iterator, 0, 2).not_finite == []
    (name,) = [name for name in variables if name.startswith("lower/block1_1_norm/moving_variance")]
    variables[name].assign(variables[name] * np.float32(np.inf))  # training does not read it
    done = step.run(iterator, 2, 5)
    assert len(done.values) == 1
    assert np.isfinite(done.values).all()
    assert done.not_finite == [name]
    assert not done.stopped


@pytest.mark.parametrize("options", [{}, {"precision": "float16", "scale_loss": True}])
def test_a_metric_that_is_not_finite_stops_the_loop_at_its_step(options):
    step, iterator, variables = make("evaluator", **options)
    step.run(iterator, 0, 2)
    kernel = variables["upper/predictions/kernel"]
    kernel.assign(np.full(kernel.shape, np.nan, np.float32))
    done = step.run(iterator, 2, 5)
    assert len(done.values) == 1
    bad = {name for name, value in zip(done.names, done.values[0]) if not np.isfinite(value)}
    assert {"loss", "loss/classification"} <= bad
    assert not done.stopped


def test_stop_from_another_thread_stops_the_loop_after_a_step():
    step, iterator, _ = make("evaluator", TWO)
    step.run(iterator, 0, 1)
    timer = threading.Timer(0.3, step.stop)
    timer.start()
    begin = time.monotonic()
    done = step.run(iterator, 1, 1_000_000)
    assert done.stopped
    assert 1 <= len(done.values) < 1_000_000
    assert 0 < done.seconds <= time.monotonic() - begin
    assert 0 <= done.waiting <= done.seconds


def test_a_batch_that_cannot_be_split_and_xla_on_two_devices_are_refused():
    with pytest.raises(ValueError, match="batch_size: expected a multiple of the 2 devices"):
        make("evaluator", TWO, gradient_accumulation=3)
    with pytest.raises(ValueError, match="xla: expected False with 2 devices"):
        make("evaluator", TWO, xla=True)


def test_every_part_has_a_gradient_norm():
    metrics, _, _ = on_one_device("stage_one")
    parts = [metrics[f"gradient_norm/{part}"][0] for part in ("lower", "generator", "upper")]
    assert min(parts) > 0
    np.testing.assert_allclose(metrics["gradient_norm"][0], np.sqrt(np.sum(np.square(parts))), rtol=1e-5)
