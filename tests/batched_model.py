"""A batched model that is asked from many threads, for the tests of batching."""
import concurrent.futures
import contextlib
import threading
import time

import numpy as np

from serving.batching import BatchedModel, Scheduler
from serving.batching_parameters import Parameters


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
