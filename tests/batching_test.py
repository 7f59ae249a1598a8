"""Requests that wait together are answered by one run, each with its own rows, and as if it were alone."""
import concurrent.futures
import contextlib
import random
import threading
import time

import numpy as np
import pytest

from serving.batching import BatchedModel, Parameters, read
from serving.errors import Code, RequestError
from serving.saved_model import SavedModel
from tests import source_tree, tiny_export

DEPLOYED = source_tree.ROOT / "serving" / "deploy" / "batching_parameters.txt"


@pytest.fixture(name="model", scope="module")
def _model(tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "1"
    tiny_export.write(path)
    return SavedModel(path)


class Watched:
    """A model that tells what it is asked, and waits while `gate` is closed."""

    def __init__(self, model):
        self._model = model
        self.gate = threading.Event()
        self.runs = []

    def run(self, signature, tensors):
        self.runs.append((signature, len(next(iter(tensors.values())))))
        assert self.gate.wait(60)
        return self._model.run(signature, tensors)


@contextlib.contextmanager
def batched(model, clients=16, **parameters):
    """Yields a batched model, and a function that asks it from a thread of its own and returns a future."""
    values = Parameters(**{"num_batch_threads": 1, **parameters})
    with concurrent.futures.ThreadPoolExecutor(values.num_batch_threads) as graph, \
            concurrent.futures.ThreadPoolExecutor(clients) as callers:  # fmt: skip
        asked = BatchedModel(model, values, graph)
        yield lambda *request: callers.submit(asked.run, *request)


def numbers(*values):
    return "numbers", {"a": np.array([[v, v] for v in values], np.float32), "b": np.array(values, np.int64)}


def wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "this did not happen in time"
        time.sleep(0.005)


@contextlib.contextmanager
def occupied(model, **parameters):
    """Yields what `batched` yields and the runs of the model, whose one thread is busy until the context ends.

    Requests made meanwhile pile up; they are answered after it.
    """
    watched = Watched(model)
    with batched(watched, **parameters) as ask:
        first = ask(*numbers(-1))
        try:
            wait_for(lambda: watched.runs)
            yield ask, watched.runs
        finally:
            watched.gate.set()
        assert first.result(60)["total"].tolist() == [-2.0]


def settle():
    """Gives callers' threads the time to hand over their requests."""
    time.sleep(0.2)


def test_requests_that_wait_are_answered_by_one_run_each_with_its_own_rows(model):
    with occupied(model) as (ask, runs):
        answers = [ask(*numbers(*range(i, 2 * i))) for i in range(1, 5)]
        settle()
    for i, answer in zip(range(1, 5), answers):
        alone = model.run(*numbers(*range(i, 2 * i)))
        found = answer.result(60)
        assert set(found) == set(alone)
        assert all(np.array_equal(found[name], alone[name]) for name in alone)
    assert runs == [("numbers", 1), ("numbers", 1 + 2 + 3 + 4)]


def test_no_run_is_larger_than_the_limit(model):
    with occupied(model, max_batch_size=4) as (ask, runs):
        answers = [ask(*numbers(*range(n))) for n in (3, 2, 2, 1)]
        settle()
    assert sorted(len(answer.result(60)["next"]) for answer in answers) == [1, 2, 2, 3]
    assert sum(rows for _, rows in runs) == 1 + 8
    assert max(rows for _, rows in runs) <= 4


def test_other_signatures_and_shapes_are_runs_of_their_own(model):
    with occupied(model) as (ask, runs):
        asked = [numbers(1), numbers(2)]
        asked += [("echo", {"x": np.array([letter, b"z"], object)}) for letter in (b"ab", b"cd", b"ef")]
        answers = [ask(*request) for request in asked]
        settle()
    assert [answer.result(60)["y"].tolist() for answer in answers[2:]] == [[b"a", b"z"], [b"c", b"z"], [b"e", b"z"]]
    assert sorted(runs[1:]) == [("echo", 6), ("numbers", 2)]


def test_large_requests_are_split_where_that_is_allowed(model):
    split = {"enable_large_batch_splitting": True, "max_execution_batch_size": 4}
    with occupied(model, max_batch_size=10, **split) as (ask, runs):
        answer, too_large = ask(*numbers(*range(10))), ask(*numbers(*range(11)))
        with pytest.raises(RequestError, match="Task size 11 is larger than maximum input batch size 10") as refusal:
            too_large.result(60)
        settle()
    assert refusal.value.code == Code.INVALID_ARGUMENT
    assert answer.result(60)["next"].tolist() == list(range(1, 11))
    assert runs[1:] == [("numbers", 4), ("numbers", 4), ("numbers", 2)]
    with occupied(model, max_batch_size=10) as (ask, _):
        assert isinstance(ask(*numbers(*range(11))).exception(60), RequestError)


def test_a_request_is_refused_when_too_many_wait(model):
    with occupied(model, max_batch_size=2, max_enqueued_batches=2) as (ask, _):
        waiting = ask(*numbers(1, 2))
        settle()
        waiting_too = ask(*numbers(3, 4))
        settle()
        refused = ask(*numbers(5)).exception(60)
    assert (refused.code, refused.http_status) == (Code.UNAVAILABLE, 503)
    assert "queue to which this task was submitted is full; 4 rows wait" in refused.message
    assert [answer.result(60)["next"].tolist() for answer in (waiting, waiting_too)] == [[2, 3], [4, 5]]


def test_what_is_wrong_with_one_request_is_no_fault_of_the_others(model):
    checked = [("checked", {"x": np.array([value], object)}) for value in (b"\xff", b"no", b"\xff")]
    with occupied(model) as (ask, runs):
        answers = [ask(*request) for request in checked]
        settle()
    assert [answer.exception(60) is None for answer in answers] == [True, False, True]
    assert answers[1].exception().code == Code.INVALID_ARGUMENT
    assert answers[2].result()["y"].tolist() == [b"\xff"]
    assert runs[1:] == [("checked", 3), *[("checked", 1)] * 3]


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (("whole", {"x": np.float32(1)}), Code.INVALID_ARGUMENT, "must have at least one dimension"),
        (("whole", {"x": np.ones(2, np.float32)}), Code.FAILED_PRECONDITION, "does not equal the sum"),
        (
            ("numbers", {"a": np.ones([2, 2], np.float32), "b": np.ones(1, np.int64)}),
            Code.INVALID_ARGUMENT,
            "must have equal 0th-dimension size",
        ),
        (("numbers", {"a": np.ones([2, 2], np.float32)}), Code.INVALID_ARGUMENT, "input size does not match signature"),
    ],
)
def test_requests_without_common_rows_are_refused(model, request_, code, message):
    with batched(model) as ask:
        error = ask(*request_).exception(60)
    assert error.code == code
    assert message in error.message


def test_no_rows_are_answered_with_no_rows(model):
    with batched(model) as ask:
        assert ask("echo", {"x": np.array([], object)}).result(60)["y"].tolist() == []


def test_a_batch_waits_for_more_until_it_is_full_or_the_time_is_over(model):
    hour = 3_600_000_000
    with batched(model, max_batch_size=2, batch_timeout_micros=hour) as ask:
        answers = [ask(*numbers(i)) for i in range(2)]
        assert [answer.result(60)["next"].tolist() for answer in answers] == [[1], [2]]
    with batched(model, max_batch_size=2, batch_timeout_micros=1000) as ask:
        assert ask(*numbers(1)).result(60)["next"].tolist() == [2]


def test_many_callers_get_what_they_would_get_alone(model):
    rng = random.Random(0)
    requests = []
    for _ in range(400):
        values = [rng.randrange(100) for _ in range(rng.randrange(1, 9))]
        texts = np.array([str(value).encode() for value in values], object)
        requests.append(numbers(*values) if rng.random() < 0.7 else ("echo", {"x": texts}))
    split = {"enable_large_batch_splitting": True, "max_execution_batch_size": 5, "max_enqueued_batches": 100}
    with batched(model, 32, num_batch_threads=3, batch_timeout_micros=500, max_batch_size=8, **split) as ask:
        answers = [ask(*request) for request in requests]
        for request, answer in zip(requests, answers):
            alone, found = model.run(*request), answer.result(60)
            assert all(np.array_equal(found[name], alone[name]) for name in alone)


def test_signatures_and_metadata_are_those_of_the_model(model):
    with concurrent.futures.ThreadPoolExecutor(1) as graph:
        asked = BatchedModel(model, Parameters(), graph)
        assert (asked.inputs("numbers"), asked.metadata()) == (model.inputs("numbers"), model.metadata())


def test_the_file_of_the_deployment_is_read():
    assert read(DEPLOYED) == Parameters(64, 2000, 16, 4, True, 8)


def test_what_a_file_leaves_out_has_tensorflow_servings_defaults(tmp_path):
    (tmp_path / "batching").write_text("max_batch_size { value: 6 } enable_large_batch_splitting { value: False }")
    assert read(tmp_path / "batching") == Parameters(max_batch_size=6, max_execution_batch_size=6)
    (tmp_path / "batching").write_text("")
    assert read(tmp_path / "batching") == Parameters()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size: 3", r"expected max_batch_size \{ ... \}"),
        ("max_batch_size {}", r"expected one value, found \[\]"),
        ("max_batch_size { value: 1 } max_batch_size { value: 1 }", "expected max_batch_size once, found it 2 times"),
        ("max_batch_size { value: 0 }", "expected at least 1 for max_batch_size, found 0"),
        ("enable_large_batch_splitting { value: 2 }", "expected true or false for .*, found '2'"),
        ("max_execution_batch_size { value: 2000 }", "at most max_batch_size, found 2000 and 1000"),
        ("allowed_batch_sizes: 8", "expected max_batch_size, .*, found allowed_batch_sizes"),
        ("max_batch_size {", "expected the name of a field, found 'end of file'"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, text, message):
    (tmp_path / "batching").write_text(text)
    with pytest.raises(ValueError, match=f"^Cannot read .*batching as batching parameters: .*{message}.*[.]$"):
        read(tmp_path / "batching")


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="Cannot read .*none: No such file .*; is it the batching parameters"):
        read(tmp_path / "none")
