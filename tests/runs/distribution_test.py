"""Two real processes on this machine, in place of two hosts, train one run with the results of one process."""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from ornet_tf.runs import checkpoints, distribution, interruption
from tests import strategies

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_a_single_cpu_reads_its_dataset_itself_and_two_get_a_batch_each():
    def make_dataset(context):
        return tf.data.Dataset.range(100 * context.num_replicas_in_sync, 1000).batch(2)

    assert next(distribution.batches(strategies.mirrored("CPU:0"), make_dataset)).numpy().tolist() == [100, 101]
    two = strategies.mirrored("CPU:0", "CPU:1")
    batches = two.experimental_local_results(next(distribution.batches(two, make_dataset)))
    assert [batch.numpy().tolist() for batch in batches] == [[200, 201], [202, 203]]


def free_ports(count):
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def start(workdir, *arguments, second=()):
    """Starts two workers and returns their processes. The second gets more arguments."""
    cluster = {"worker": [f"localhost:{port}" for port in free_ports(2)]}
    training = ["-m", "ornet_tf.train", "--config=tests/tiny_experiment.py", f"--workdir={workdir}", *arguments]
    commands = [training, [*training, *second]]
    processes = []
    for i in range(2):
        config = {"cluster": cluster, "task": {"type": "worker", "index": i}}
        with open(f"{workdir}-{i}.log", "w", encoding="utf-8") as log:  # a pipe could fill up and block
            processes.append(
                subprocess.Popen(
                    [sys.executable, *commands[i]], cwd=ROOT, env={**os.environ, "TF_CONFIG": json.dumps(config)},
                    stdout=subprocess.DEVNULL, stderr=log,
                )
            )
    return processes


def finish(workdir, processes):
    """Waits for the workers; returns (exit status, standard error) of each."""
    ends = [process.wait(timeout=240) for process in processes]
    return [(end, pathlib.Path(f"{workdir}-{i}.log").read_text(encoding="utf-8")) for i, end in enumerate(ends)]


def weights(workdir, phase):
    path = checkpoints.latest_checkpoint(os.path.join(workdir, phase))
    reader = tf.train.load_checkpoint(path)
    names = [n for n, _ in tf.train.list_variables(path) if n.startswith(("lower", "generator", "upper", "optimizer"))]
    return {name: reader.get_tensor(name) for name in names}


def lines(workdir, phase):
    with open(os.path.join(workdir, phase, "metrics.jsonl"), encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [{key: value for key, value in row.items() if not key.startswith("speed/")} for row in rows]


@pytest.mark.slow
def test_two_workers_train_like_one_process_even_after_a_kill(tmp_path, tiny_run):
    alone, together = tiny_run[1], str(tmp_path / "together")
    # The evaluator, which has less to train, is that of the other run.
    others = shutil.ignore_patterns("stage_*", "cache", "evaluation", "export", "predictions", ".lock*")
    shutil.copytree(alone, together, ignore=others)
    only = ["--config.phase_order=('evaluator', 'stage_one')"]
    only += ["--config.export.row=stage_one", "--config.evaluation.report_rows=()"]
    processes = start(together, *only)
    wait_for(os.path.join(together, "stage_one", "metrics.jsonl"), together, processes)
    processes[1].send_signal(signal.SIGKILL)
    (status, text), _ = finish(together, processes)
    assert status == interruption.EXIT_CODE, text
    assert "worker-0 can't continue: another worker has stopped" in text
    for status, text in finish(together, start(together, *only)):
        assert status == 0, text
    expected, actual = (lines(workdir, "stage_one") for workdir in (alone, together))
    assert len(expected) == len(actual) == 3
    for one, other in zip(expected, actual):
        assert one.keys() == other.keys()
        np.testing.assert_allclose(list(one.values()), list(other.values()), atol=1e-3)
    first, second = (weights(workdir, "stage_one") for workdir in (alone, together))
    assert first.keys() == second.keys()
    for name, value in first.items():
        # Adam's first steps move a weight by the learning rate even if its gradient is almost zero.
        np.testing.assert_allclose(value, second[name], atol=1e-2, err_msg=name)
    assert not [name for name in os.listdir(together) if "worker" in name and not name.startswith(".lock")]


def wait_for(path, workdir, processes):
    end = time.monotonic() + 240
    while not os.path.exists(path) or not os.path.getsize(path):
        if time.monotonic() > end or any(process.poll() is not None for process in processes):
            for process in processes:
                process.kill()
            pytest.fail(f"{path} is missing: {finish(workdir, processes)}")
        time.sleep(0.02)


@pytest.mark.slow
def test_a_signal_to_one_worker_stops_both_at_the_same_step(tmp_path):
    workdir = str(tmp_path / "run")
    long = [f"--config.phase.{p}.epochs=2000.0" for p in ("evaluator", "stage_one", "stage_two")]
    processes = start(workdir, *long, "--config.training.summary_images=0")
    wait_for(os.path.join(workdir, "evaluator", "metrics.jsonl"), workdir, processes)
    processes[1].send_signal(signal.SIGTERM)
    ends = finish(workdir, processes)
    assert [status for status, _ in ends] == [interruption.EXIT_CODE] * 2, ends
    step = checkpoints.latest_checkpoint(os.path.join(workdir, "evaluator")).rsplit("-", 1)[1]
    assert f"Another worker stopped the run after step {step} of 12000 of evaluator" in ends[0][1]
    assert f"SIGTERM stopped the run after step {step} of 12000 of evaluator" in ends[1][1]


@pytest.mark.slow
def test_workers_of_different_runs_report_the_differences_alone(tmp_path, tiny_run):
    processes = start(tmp_path / "run", f"--workdir={tiny_run[1]}", second=[f"--workdir={tmp_path / 'other'}"])
    for status, text in finish(tmp_path / "run", processes):
        assert status == 1
        assert "workers of this run differ in: finished phases." in text  # not in the configuration


@pytest.mark.parametrize(
    "options", [{"batch_size": 8, "gradient_accumulation": 3}, {"batch_size": 7, "gradient_accumulation": 1}]
)
def test_a_batch_that_cannot_be_split_is_refused(options):
    with pytest.raises(ValueError, match="batch_size: expected a multiple of the 2 devices"):
        distribution.check_replicas(strategies.mirrored("CPU:0", "CPU:1"), xla=False, **options)


def test_xla_needs_a_single_replica():
    distribution.check_replicas(strategies.mirrored("CPU:0"), batch_size=8, gradient_accumulation=2, xla=True)
    with pytest.raises(ValueError, match="xla: expected False with 2 devices, got True"):
        two = strategies.mirrored("CPU:0", "CPU:1")
        distribution.check_replicas(two, batch_size=8, gradient_accumulation=2, xla=True)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"cluster": {"worker": ["a:1"]}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
    ],
)
def test_an_invalid_tf_config_is_refused(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError, match='TF_CONFIG: expected {"cluster": .*got'):
        distribution.make_strategy()


def test_without_a_cluster_the_process_is_the_chief_and_does_not_wait(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    strategy = distribution.make_strategy()
    assert strategy.num_replicas_in_sync == 1
    assert distribution.worker_name(strategy) == ""
    assert distribution.is_chief(strategy)
    distribution.barrier(strategy)
    with pytest.raises(tf.errors.OpError), distribution.explain_lost_workers(strategy):
        raise tf.errors.UnavailableError(None, None, "no cluster, so no message about workers")
