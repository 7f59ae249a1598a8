"""Requests that wait at the same time are answered by one run of the graph, as TensorFlow Serving does it.

What is put together, when, and what is refused follows `Parameters`, which are TensorFlow Serving's.
"""
from __future__ import annotations

import concurrent.futures
import functools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from serving.batching_parameters import Parameters
from serving.errors import Code, RequestError, invalid
from serving.rest_codec import DEFAULT_SIGNATURE

_Tensors = Mapping[str, np.ndarray]
_Run = Callable[[_Tensors], Mapping[str, np.ndarray]]


class _Task(NamedTuple):
    """A request, or a piece of a large one, that waits for its answer."""

    tensors: _Tensors
    rows: int
    answer: concurrent.futures.Future


class _Batch:
    """Tasks that will be one run of `run`; `since` is when the first came, by time.monotonic."""

    def __init__(self, run: _Run, since: float):
        self.run = run
        self.since = since
        self.tasks: list[_Task] = []
        self.rows = 0

    def add(self, task: _Task) -> None:
        """Takes a task in."""
        self.tasks.append(task)
        self.rows += task.rows


class Scheduler:
    """Collects tasks in batches and runs these in threads of its own, `num_batch_threads` at once.

    Each kind of task has a queue of batches; tasks go into the last one. A batch is run when it is full, has another
    behind it or has waited long enough; the kinds take turns, so that none keeps another waiting.
    """

    def __init__(self, parameters: Parameters):
        """Starts the threads."""
        self.parameters = parameters
        self._changed = threading.Condition()
        self._queues: dict[Any, list[_Batch]] = {}
        self._is_closed = False
        for number in range(parameters.num_batch_threads):
            threading.Thread(target=self._work, name=f"batch_{number}").start()

    def submit(self, kind: Any, run: _Run, tensors: _Tensors, rows: int) -> list[concurrent.futures.Future]:
        """Puts a request into the queue of its kind; returns the answers of its pieces, which are dicts of arrays.

        Args:
          kind: what can be run together has the same; it can be hashed.
          run: tensors -> outputs by name, for all rows of a batch.
          tensors: arrays with the same number of rows.
          rows: that number.

        Raises:
          RequestError: UNAVAILABLE if the queue is full or the scheduler closed.
        """
        size, most = self.parameters.rows_of_a_run, self.parameters.max_enqueued_batches
        with self._changed:
            if self._is_closed:
                raise _closing()
            queue = self._queues.get(kind, [])
            room = size - queue[-1].rows if queue else 0
            if self.parameters.enable_large_batch_splitting:
                capacity = room + (most - len(queue)) * size
                cuts = [0, *range(min(room, rows), rows, size)] if room else list(range(0, max(rows, 1), size))
            else:
                capacity = size if len(queue) < most else room
                cuts = [0]
            if rows > capacity:
                raise RequestError(
                    Code.UNAVAILABLE,
                    "The batch scheduling queue to which this task was submitted is full; "
                    f"task size is {rows} but scheduling capacity is only {capacity}",
                )
            answers = []
            for start, end in zip(cuts, [*cuts[1:], rows]):
                if not queue or queue[-1].rows + (end - start) > size:
                    queue.append(_Batch(run, time.monotonic()))
                piece = {name: value[start:end] for name, value in tensors.items()}
                answers.append(concurrent.futures.Future())
                queue[-1].add(_Task(piece, end - start, answers[-1]))
            self._queues[kind] = queue
            self._changed.notify(len(cuts))
        return answers

    def close(self) -> None:
        """Refuses what waits and what comes; threads end after what they are running."""
        with self._changed:
            self._is_closed = True
            waiting = [task for queue in self._queues.values() for batch in queue for task in batch.tasks]
            self._queues.clear()
            self._changed.notify_all()
        for task in waiting:
            task.answer.set_exception(_closing())

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            _answer(batch.run, batch.tasks)
            del batch  # Or its requests would stay in memory until the next ones come.

    def _next(self) -> _Batch | None:
        """Waits for a batch that is to be run now, and takes it; None once the scheduler is closed."""
        seconds = self.parameters.batch_timeout_micros / 1e6
        with self._changed:
            while not self._is_closed:
                now, soonest = time.monotonic(), threading.TIMEOUT_MAX
                for kind, queue in self._queues.items():
                    left = queue[0].since + seconds - now
                    if left <= 0 or len(queue) > 1 or queue[0].rows >= self.parameters.rows_of_a_run:
                        del self._queues[kind]
                        if queue[1:]:
                            self._queues[kind] = queue[1:]  # At the end: it is the others' turn.
                        return queue[0]
                    soonest = min(soonest, left)
                self._changed.wait(soonest)
        return None


class BatchedModel:
    """A model whose `run` waits for others: see the module. Calls may come from several threads at once."""

    def __init__(self, model: Any, scheduler: Scheduler):
        """Keeps both; `model` is as serving/saved_model.py's."""
        self._model = model
        self._scheduler = scheduler

    def inputs(self, signature: str) -> dict[str, str]:
        """As the model's."""
        return self._model.inputs(signature)

    def metadata(self) -> dict[str, Any]:
        """As the model's."""
        return self._model.metadata()

    def run(self, signature: str, tensors: _Tensors) -> dict[str, np.ndarray]:
        """Returns the outputs of a signature by name.

        Only requests of the same signature are put together, and only of rows of the same shape. Where a run of
        several fails, its halves are run again, and so on: what is wrong with one is no fault of the others.

        Args:
          signature: its name; "" means `serving_default`.
          tensors: all with the same number of rows, their first axis.

        Raises:
          RequestError: INVALID_ARGUMENT if there are no common rows or too many, FAILED_PRECONDITION if the outputs
            have others, UNAVAILABLE if too many requests wait; or what the model raises.
        """
        signature = signature or DEFAULT_SIGNATURE
        rows = _rows(tensors)
        largest = self._scheduler.parameters.max_batch_size
        if rows > largest:
            raise invalid(f"Task size {rows} is larger than maximum input batch size {largest}")
        shapes = ((name, value.dtype.str, value.shape[1:]) for name, value in sorted(tensors.items()))
        kind = (self, signature, *shapes)
        answers = self._scheduler.submit(kind, functools.partial(self._model.run, signature), tensors, rows)
        parts = []
        while answers:  # None is held by this frame while it is waited for: failures would hold their requests.
            parts.append(answers.pop(0).result())
        return parts[0] if len(parts) == 1 else _joined(parts)


def _closing() -> RequestError:
    return RequestError(Code.UNAVAILABLE, "The server is shutting down.")


def _answer(run: _Run, tasks: Sequence[_Task]) -> None:
    """Runs tasks together; where that fails its halves, down to the task that fails alone."""
    try:
        outputs = run(_joined([task.tensors for task in tasks]))
        parts = _split(outputs, [task.rows for task in tasks])
    except Exception as error:  # noqa: BLE001 - whatever it is, a caller waits for it.
        if len(tasks) == 1:
            if not isinstance(error, RequestError):
                logging.exception("A batch could not be run.")
            # Without where it came from: frames there hold the answer that holds the error, and such circles keep
            # requests in memory.
            error.__cause__ = error.__context__ = None
            tasks[0].answer.set_exception(error.with_traceback(None))
            return
    else:
        for task, part in zip(tasks, parts):
            task.answer.set_result(part)
        return
    half = len(tasks) // 2
    _answer(run, tasks[:half])
    _answer(run, tasks[half:])


def _rows(tensors: _Tensors) -> int:
    if any(not value.ndim for value in tensors.values()):
        raise invalid("Batching Run() input tensors must have at least one dimension")
    sizes = {len(value) for value in tensors.values()}
    if len(sizes) > 1:
        raise invalid("Batching Run() input tensors must have equal 0th-dimension size")
    return sizes.pop() if sizes else 0


def _joined(parts: Sequence[_Tensors]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _split(outputs: _Tensors, rows: Sequence[int]) -> list[dict[str, np.ndarray]]:
    if any(not value.ndim for value in outputs.values()):
        raise RequestError(Code.FAILED_PRECONDITION, "Batched output tensor has 0 dimensions")
    if any(len(value) != sum(rows) for value in outputs.values()):
        raise RequestError(
            Code.FAILED_PRECONDITION,
            "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input "
            "tensors",
        )
    ends = np.cumsum(rows)
    return [{name: value[end - n : end] for name, value in outputs.items()} for n, end in zip(rows, ends)]
