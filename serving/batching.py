"""Requests that wait at the same time are answered by one run of the graph, as TensorFlow Serving does it.

The parameters have TensorFlow Serving's names and defaults, and are read from its batching parameters file.
"""
from __future__ import annotations

import collections
import concurrent.futures
import os
import pathlib
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from serving import text_proto
from serving.errors import Code, RequestError, invalid

_Tensors = Mapping[str, np.ndarray]
_BOOLEANS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


class Parameters(NamedTuple):
    """When and how requests are put together.

    Attributes:
      max_batch_size: rows of the largest request.
      batch_timeout_micros: microseconds for which a batch that is not full waits for more, once there is a thread.
      max_enqueued_batches: full batches that may wait; requests beyond them are refused as UNAVAILABLE (HTTP 503).
      num_batch_threads: batches that are run at once.
      enable_large_batch_splitting: whether requests may be larger than what is run at once.
      max_execution_batch_size: rows that are run at once, where larger requests are split.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = os.cpu_count() or 1
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int = 1000

    @property
    def rows_of_a_run(self) -> int:
        """How many rows are run at once."""
        return self.max_execution_batch_size if self.enable_large_batch_splitting else self.max_batch_size


def read(path: str | os.PathLike) -> Parameters:
    """Returns the parameters of a file, TensorFlow Serving's BatchingParameters in text form.

    Raises:
      OSError: if the file can't be read.
      ValueError: if it isn't such a file, or asks for what the local server doesn't do.
    """
    try:
        message = text_proto.parse(pathlib.Path(path).read_text(encoding="utf-8"))
        unknown = set(message) - set(Parameters._fields)
        if unknown:
            raise ValueError(f"expected {', '.join(Parameters._fields)}, found {', '.join(sorted(unknown))}")
        return _checked({name: _wrapped(message, name) for name in message})
    except OSError as error:
        raise type(error)(f"Cannot read {path}: {error.strerror}; is it the batching parameters file?") from error
    except ValueError as error:
        raise ValueError(f"Cannot read {path} as batching parameters: {error}.") from error


def _wrapped(message: text_proto.Message, name: str) -> int | bool:
    wrappers = message.messages(name)
    if len(wrappers) != 1:
        raise ValueError(f"expected {name} once, found it {len(wrappers)} times")
    if not isinstance(Parameters._field_defaults[name], bool):
        return wrappers[0].integer("value")
    text = wrappers[0].text("value")
    if text.lower() not in _BOOLEANS:
        raise ValueError(f"expected true or false for {name}, found {text!r}")
    return _BOOLEANS[text.lower()]


def _checked(values: dict[str, Any]) -> Parameters:
    if "max_execution_batch_size" not in values:
        values["max_execution_batch_size"] = values.get("max_batch_size", Parameters().max_batch_size)
    parameters = Parameters(**values)
    for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads", "max_execution_batch_size"):
        if getattr(parameters, name) < 1:
            raise ValueError(f"expected at least 1 for {name}, found {getattr(parameters, name)}")
    if parameters.max_execution_batch_size > parameters.max_batch_size:
        raise ValueError("expected max_execution_batch_size to be at most max_batch_size, "
                         f"found {parameters.max_execution_batch_size} and {parameters.max_batch_size}")
    return parameters


class _Task(NamedTuple):
    """A request, or a piece of a large one, that waits for its answer."""

    tensors: _Tensors
    rows: int
    since: float
    answer: concurrent.futures.Future


class BatchedModel:
    """A model whose `run` waits for others: see the module. Calls may come from several threads at once."""

    def __init__(self, model: Any, parameters: Parameters, pool: concurrent.futures.Executor):
        """Keeps what it needs.

        Args:
          model: as serving/saved_model.py's.
          parameters: of the batches.
          pool: runs the batches; it has `num_batch_threads`.
        """
        self._model = model
        self._parameters = parameters
        self._pool = pool
        self._lock = threading.Condition()
        # A queue stands here from its first task until it is empty; so long one collector is in the pool for it.
        self._queues: dict[Any, collections.deque[_Task]] = {}
        self._waiting = 0

    def inputs(self, signature: str) -> dict[str, str]:
        """As the model's."""
        return self._model.inputs(signature)

    def metadata(self) -> dict[str, Any]:
        """As the model's."""
        return self._model.metadata()

    def run(self, signature: str, tensors: _Tensors) -> dict[str, np.ndarray]:
        """Returns the outputs of a signature by name.

        Only requests of the same signature are put together, and only of rows of the same shape. Where a run of
        several fails, each is run alone: what is wrong with one is no fault of the others.

        Args:
          signature: its name; "" is a name of its own.
          tensors: all with the same number of rows, their first axis.

        Raises:
          RequestError: INVALID_ARGUMENT if there are no common rows or too many, FAILED_PRECONDITION if the outputs
            have others, UNAVAILABLE if too many requests wait; or what the model raises.
        """
        rows = _rows(tensors)
        largest, most = self._parameters.max_batch_size, self._parameters.rows_of_a_run
        if rows > largest:
            raise invalid(f"Task size {rows} is larger than maximum input batch size {largest}")
        if not rows:
            return self._model.run(signature, tensors)
        kind = signature, *((name, value.dtype.str, value.shape[1:]) for name, value in sorted(tensors.items()))
        pieces = [{name: value[i : i + most] for name, value in tensors.items()} for i in range(0, rows, most)]
        answers = [task.answer.result() for task in self._enqueue(kind, pieces)]
        return answers[0] if len(answers) == 1 else _joined(answers)

    def _enqueue(self, kind: tuple, pieces: Sequence[_Tensors]) -> list[_Task]:
        now = time.monotonic()
        tasks = [_Task(piece, _rows(piece), now, concurrent.futures.Future()) for piece in pieces]
        rows = sum(task.rows for task in tasks)
        most = self._parameters.max_enqueued_batches * self._parameters.rows_of_a_run
        with self._lock:
            # Pieces of one request don't crowd each other out: it fits whenever nothing waits.
            if self._waiting and self._waiting + rows > most:
                raise RequestError(
                    Code.UNAVAILABLE,
                    f"The batch scheduling queue to which this task was submitted is full; {self._waiting} rows wait.",
                )
            self._waiting += rows
            is_new = kind not in self._queues
            queue = self._queues.setdefault(kind, collections.deque())
            queue.extend(tasks)
            if is_new:
                self._pool.submit(self._collect, kind)
            elif sum(task.rows for task in queue) >= self._parameters.rows_of_a_run:
                self._lock.notify_all()
        return tasks

    def _collect(self, kind: tuple) -> None:
        """Waits for a batch to fill, takes it, sees to it that the next is collected, and runs it."""
        most = self._parameters.rows_of_a_run
        with self._lock:
            queue = self._queues[kind]
            end = queue[0].since + self._parameters.batch_timeout_micros / 1e6
            while sum(task.rows for task in queue) < most and (left := end - time.monotonic()) > 0:
                self._lock.wait(left)
            batch = [queue.popleft()]
            while queue and sum(task.rows for task in batch) + queue[0].rows <= most:
                batch.append(queue.popleft())
            self._waiting -= sum(task.rows for task in batch)
            if queue:
                self._pool.submit(self._collect, kind)
            else:
                del self._queues[kind]
        self._answer(kind[0], batch)

    def _answer(self, signature: str, batch: Sequence[_Task]) -> None:
        try:
            outputs = self._model.run(signature, _joined([task.tensors for task in batch]))
            parts = _split(outputs, [task.rows for task in batch])
        except Exception as error:  # noqa: BLE001 - whatever it is, a caller waits for it.
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
                return
            for task in batch:
                self._answer(signature, [task])
            return
        for task, part in zip(batch, parts):
            task.answer.set_result(part)


def _rows(tensors: _Tensors) -> int:
    if any(not value.ndim for value in tensors.values()):
        raise invalid("Batching session Run() input tensors must have at least one dimension")
    sizes = {len(value) for value in tensors.values()}
    if len(sizes) > 1:
        raise invalid("Batching session Run() input tensors must have equal 0th-dimension size")
    return sizes.pop() if sizes else 0


def _joined(parts: Sequence[_Tensors]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _split(outputs: _Tensors, rows: Sequence[int]) -> list[dict[str, np.ndarray]]:
    if any(not value.ndim or len(value) != sum(rows) for value in outputs.values()):
        raise RequestError(
            Code.FAILED_PRECONDITION,
            "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input "
            "tensors",
        )
    ends = np.cumsum(rows)
    return [{name: value[end - n : end] for name, value in outputs.items()} for n, end in zip(rows, ends)]
