"""Requests that wait together are answered by one run, each with its own rows, and as if it were alone."""
import concurrent.futures
import contextlib
import gc
import random
import threading
import time
import weakref

import numpy as np
import pytest

from serving.batching import BatchedModel, Scheduler
from serving.batching_parameters import Parameters
from serving.errors import Code, RequestError
from serving.saved_model import SavedModel
from tests import tiny_export


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


class Asked:
    """A batched model that is asked from threads of its own."""

    def __init__(self, model, parameters):
        self._scheduler = Scheduler(parameters)
        self._model = BatchedModel(model, self._scheduler)
        self._callers = concurrent.futures.ThreadPoolExecutor(32)

    def __call__(self, signature, tensors):
        """Asks and returns a future."""
        return self._callers.submit(self._model.run, signature, tensors)

    def queue(self, signature, tensors):
        """Asks and returns a future once the request waits in its queue, or has been answered."""
        before = self.waiting()
        answer = self(signature, tensors)
        wait_for(lambda: self.waiting() > before or answer.done())
        return answer

    def waiting(self):
        """Returns how many tasks wait."""
        queues = list(self._scheduler._queues.values())
        return sum(len(batch.tasks) for queue in queues for batch in queue)

    def close(self):
        self._scheduler.close()
        self._callers.shutdown()


@contextlib.contextmanager
def batched(model, **parameters):
    """Yields a batched model."""
    asked = Asked(model, Parameters(**{"num_batch_threads": 1, **parameters}))
    try:
        yield asked
    finally:
        asked.close()


def numbers(*values):
    return "numbers", {"a": np.array([[v, v] for v in values], np.float32), "b": np.array(values, np.int64)}


def texts(*values):
    return np.array([value.encode() if isinstance(value, str) else value for value in values], object)


def wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "this did not happen in time"
        time.sleep(0.001)


@contextlib.contextmanager
def occupied(model, **parameters):
    """Yields a batched model whose one thread is busy, and its runs; `open` lets it go on, at the end at the latest."""
    watched = Watched(model)
    with batched(watched, **parameters) as asked:
        first = asked("spin", {"rounds": np.array([1])})
        try:
            wait_for(lambda: watched.runs)
            yield asked, watched
        finally:
            watched.gate.set()
        first.result(60)


def test_requests_that_wait_are_answered_by_one_run_each_with_its_own_rows(model):
    with occupied(model) as (asked, watched):
        answers = [asked.queue(*numbers(*range(i, 2 * i))) for i in range(1, 5)]
        watched.gate.set()
        for i, answer in zip(range(1, 5), answers):
            alone, found = model.run(*numbers(*range(i, 2 * i))), answer.result(60)
            assert set(found) == set(alone)
            assert all(np.array_equal(found[name], alone[name]) for name in alone)
    assert watched.runs[1:] == [("numbers", 1 + 2 + 3 + 4)]


def test_no_run_is_larger_than_the_limit_and_requests_stay_whole(model):
    with occupied(model, max_batch_size=4) as (asked, watched):
        answers = [asked.queue(*numbers(*range(n))) for n in (3, 2, 2, 1)]
        watched.gate.set()
        assert [len(answer.result(60)["next"]) for answer in answers] == [3, 2, 2, 1]
    assert watched.runs[1:] == [("numbers", 3), ("numbers", 4), ("numbers", 1)]


def test_other_signatures_and_shapes_are_runs_of_their_own(model):
    with occupied(model) as (asked, watched):
        answers = [asked.queue(*numbers(1)), asked.queue(*numbers(2))]
        answers += [asked.queue("echo", {"x": texts(letters, "z")}) for letters in ("ab", "cd", "ef")]
        odd = asked.queue("numbers", {"a": np.ones([1, 3], np.float32), "b": np.ones(1, np.int64)})
        watched.gate.set()
        assert [a.result(60)["y"].tolist() for a in answers[2:]] == [[b"a", b"z"], [b"c", b"z"], [b"e", b"z"]]
        assert odd.result(60)["total"].tolist() == [3.0]  # the graph takes any width
        assert [a.result(60)["total"].tolist() for a in answers[:2]] == [[2.0], [4.0]]
    assert watched.runs[1:] == [("numbers", 2), ("echo", 6), ("numbers", 1)]


def test_the_default_signature_has_two_names(model):
    files = [tiny_export.picture(4, 4, (1, 1, 2, 3)), tiny_export.picture(4, 4, (0, 0, 2, 4))]
    with occupied(model) as (asked, watched):
        answers = [asked.queue(name, {"image_bytes": texts(f)}) for name, f in zip(("", "serving_default"), files)]
        watched.gate.set()
        for answer, file in zip(answers, files):
            alone = model.run("", {"image_bytes": texts(file)})
            assert np.array_equal(answer.result(60)["detection_boxes"], alone["detection_boxes"])
    assert watched.runs[1:] == [("serving_default", 2)]


def test_large_requests_are_split_and_fill_what_waits_where_that_is_allowed(model):
    split = {"enable_large_batch_splitting": True, "max_execution_batch_size": 8}
    with occupied(model, max_batch_size=20, **split) as (asked, watched):
        answers = [asked.queue(*numbers(*range(n))) for n in (5, 5, 20)]
        too_large = asked.queue(*numbers(*range(21))).exception(60)
        watched.gate.set()
        assert [answer.result(60)["next"].tolist() for answer in answers] == [
            list(range(1, n + 1)) for n in (5, 5, 20)
        ]
    assert (too_large.code, too_large.message) == (
        Code.INVALID_ARGUMENT, "Task size 21 is larger than maximum input batch size 20"
    )  # fmt: skip
    assert watched.runs[1:] == [("numbers", 8), ("numbers", 8), ("numbers", 8), ("numbers", 6)]


@pytest.mark.parametrize(
    ("parameters", "accepted", "refused", "capacity"),
    [
        ({"max_batch_size": 10, "max_enqueued_batches": 2}, [6, 6], 6, 4),
        (
            {
                "max_batch_size": 64, "max_enqueued_batches": 2, "enable_large_batch_splitting": True,
                "max_execution_batch_size": 8,
            },
            [13], 4, 3,
        ),  # fmt: skip
        (
            {
                "max_batch_size": 64, "max_enqueued_batches": 1, "enable_large_batch_splitting": True,
                "max_execution_batch_size": 8,
            },
            [], 9, 8,
        ),  # fmt: skip
    ],
)
def test_a_request_is_refused_when_too_many_of_its_signature_wait(model, parameters, accepted, refused, capacity):
    with occupied(model, **parameters) as (asked, watched):
        answers = [asked.queue(*numbers(*range(n))) for n in accepted]
        error = asked.queue(*numbers(*range(refused))).exception(60)
        other = asked.queue("echo", {"x": texts("a")})
        watched.gate.set()
        assert (error.code, error.http_status) == (Code.UNAVAILABLE, 503)
        assert error.message == (
            "The batch scheduling queue to which this task was submitted is full; "
            f"task size is {refused} but scheduling capacity is only {capacity}"
        )
        assert [len(answer.result(60)["next"]) for answer in answers] == accepted
        assert other.result(60)["y"].tolist() == [b"a"]


def test_what_is_wrong_with_one_request_is_no_fault_of_the_others(model):
    with occupied(model) as (asked, watched):
        answers = [asked.queue("checked", {"x": texts(b"no" if i == 5 else b"\xff")}) for i in range(8)]
        watched.gate.set()
        assert [answer.exception(60) is None for answer in answers] == [i != 5 for i in range(8)]
    assert answers[5].exception().code == Code.INVALID_ARGUMENT
    assert answers[2].result()["y"].tolist() == [b"\xff"]
    assert [rows for _, rows in watched.runs[1:]] == [8, 4, 4, 2, 1, 1, 2]


def test_a_failed_request_is_let_go_at_once(model):
    class Bytes(np.ndarray):
        """An array that can be referred to weakly, as others can't."""

    gc.collect()
    gc.disable()  # which would also find circles
    try:
        with batched(model) as asked:
            tensor = texts("no").view(Bytes)
            gone = weakref.ref(tensor)
            with pytest.raises(RequestError):
                asked("checked", {"x": tensor}).result(60)
            del tensor
            wait_for(lambda: gone() is None)
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (
            ("whole", {"x": np.float32(1)}),
            Code.INVALID_ARGUMENT,
            "Batching Run() input tensors must have at least one dimension",
        ),
        (("whole", {"x": np.ones(2, np.float32)}), Code.FAILED_PRECONDITION, "Batched output tensor has 0 dimensions"),
        (
            ("spin", {"rounds": np.ones(1, np.int64)}),
            Code.FAILED_PRECONDITION,
            "Batched output tensor's 0th dimension does not equal the sum",
        ),
        (
            ("numbers", {"a": np.ones([2, 2], np.float32), "b": np.ones(1, np.int64)}),
            Code.INVALID_ARGUMENT,
            "Batching Run() input tensors must have equal 0th-dimension size",
        ),
        (("numbers", {"a": np.ones([2, 2], np.float32)}), Code.INVALID_ARGUMENT, "input size does not match signature"),
    ],
)
def test_requests_without_common_rows_are_refused(model, request_, code, message):
    class Doubled:
        def run(self, signature, tensors):
            outputs = model.run(signature, tensors)
            return {name: np.repeat(value, 2) for name, value in outputs.items()} if signature == "spin" else outputs

    with batched(Doubled()) as asked:
        error = asked(*request_).exception(60)
    assert error.code == code
    assert error.message.startswith(message)


def test_no_rows_are_answered_with_no_rows(model):
    with batched(model) as asked:
        assert asked("echo", {"x": texts()}).result(60)["y"].tolist() == []


def test_a_batch_waits_for_more_until_it_is_full_or_the_time_is_over(model):
    with batched(model, max_batch_size=2, batch_timeout_micros=2**63 - 1) as asked:
        first = asked.queue(*numbers(0))
        other = [asked.queue("echo", {"x": texts("a")}) for _ in range(2)]  # whose batch is full: it need not wait
        assert [answer.result(60)["y"].tolist() for answer in other] == [[b"a"], [b"a"]]
        assert not first.done()
        assert [answer.result(60)["next"].tolist() for answer in (asked(*numbers(1)), first)] == [[2], [1]]
    with batched(model, max_batch_size=2, batch_timeout_micros=1000) as asked:
        assert asked(*numbers(1)).result(60)["next"].tolist() == [2]


def test_signatures_take_turns(model):
    with occupied(model, max_batch_size=1, max_enqueued_batches=9) as (asked, watched):
        many = [asked.queue(*numbers(i)) for i in range(5)]
        few = [asked.queue("echo", {"x": texts("a")}) for _ in range(2)]
        watched.gate.set()
        concurrent.futures.wait([*many, *few], 60)
    assert [name for name, _ in watched.runs[1:]] == ["numbers", "echo", "numbers", "echo", *["numbers"] * 3]


def test_many_callers_get_what_they_would_get_alone(model):
    rng = random.Random(0)
    requests = []
    for _ in range(400):
        values = [rng.randrange(100) for _ in range(rng.randrange(0, 9))]
        named = {"x": texts(*map(str, values))}
        requests.append(numbers(*values) if values and rng.random() < 0.7 else ("echo", named))
    split = {"enable_large_batch_splitting": True, "max_execution_batch_size": 5, "max_enqueued_batches": 100}
    with batched(model, num_batch_threads=3, batch_timeout_micros=500, max_batch_size=8, **split) as asked:
        answers = [asked(*request) for request in requests]
        for request, answer in zip(requests, answers):
            alone, found = model.run(*request), answer.result(60)
            assert all(np.array_equal(found[name], alone[name]) for name in alone)


def test_nobody_waits_for_what_has_been_closed(model):
    with occupied(model, max_batch_size=1) as (asked, watched):
        waiting = [asked.queue(*numbers(i)) for i in range(3)]
        asked._scheduler.close()
        late = asked(*numbers(3))
        for answer in (*waiting, late):
            error = answer.exception(60)
            assert (error.code, error.message) == (Code.UNAVAILABLE, "The server is shutting down.")
    assert watched.runs == [("spin", 1)]  # which was under way


def test_a_model_that_is_let_go_answers_what_waits_for_it(model):
    watched = Watched(model)
    scheduler = Scheduler(Parameters(num_batch_threads=1))
    with concurrent.futures.ThreadPoolExecutor(2) as callers:
        asked = [BatchedModel(watched, scheduler), BatchedModel(model, scheduler)]
        answers = [callers.submit(one.run, *numbers(i)) for i, one in enumerate(asked)]
        del asked
        watched.gate.set()
        assert [answer.result(60)["next"].tolist() for answer in answers] == [[1], [2]]
    scheduler.close()


def test_signatures_and_metadata_are_those_of_the_model(model):
    scheduler = Scheduler(Parameters())
    asked = BatchedModel(model, scheduler)
    scheduler.close()
    assert (asked.inputs("numbers"), asked.metadata()) == (model.inputs("numbers"), model.metadata())
