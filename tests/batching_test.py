"""Requests that wait together are answered by one run, each with its own rows, and as if it were alone."""
import concurrent.futures
import random

import numpy as np
import pytest

from serving.batching import BatchedModel, Scheduler
from serving.batching_parameters import Parameters
from serving.errors import Code
from serving.saved_model import SavedModel
from tests import tiny_export
from tests.batched_model import batched, numbers, occupied, texts


@pytest.fixture(name="model", scope="module")
def _model(tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "1"
    tiny_export.write(path)
    return SavedModel(path)


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
    files = [tiny_export.image(4, 4, (1, 1, 2, 3)), tiny_export.image(4, 4, (0, 0, 2, 4))]
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


def test_signatures_and_metadata_are_those_of_the_model(model):
    scheduler = Scheduler(Parameters())
    asked = BatchedModel(model, scheduler)
    scheduler.close()
    assert (asked.inputs("numbers"), asked.metadata()) == (model.inputs("numbers"), model.metadata())
