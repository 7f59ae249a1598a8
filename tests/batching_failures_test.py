"""What batching refuses, and what is left of requests that fail, that nobody can answer, or whose model is gone."""
import concurrent.futures
import gc
import weakref

import numpy as np
import pytest

from serving.batching import BatchedModel, Scheduler
from serving.batching_parameters import Parameters
from serving.errors import Code, RequestError
from serving.saved_model import SavedModel
from tests import tiny_export
from tests.batched_model import Watched, batched, numbers, occupied, texts, wait_for


@pytest.fixture(name="model", scope="module")
def _model(tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "1"
    tiny_export.write(path)
    return SavedModel(path)


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
