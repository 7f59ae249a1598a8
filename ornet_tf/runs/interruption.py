"""Handles SIGTERM and SIGINT (preemption, Ctrl-C): training finishes its step, saves a checkpoint and stops.

Outside the training loop, and in other programs, a signal stops the program at once. In both cases the exit status is
the same, and one sentence says what the same command would do next.
"""
from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator

EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: not finished, run the same command again
RESUMES = "run the same command again to resume"
STARTS_OVER = "the same command starts over"
SECONDS_TO_STOP = 10.0  # after a signal outside a loop
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(BaseException):
    """A signal has stopped the run. This is not an error, so `except Exception` does not catch it."""


class Interruption:
    """Reacts to signals, also while the main thread is inside a long call; made by `listen`."""

    def __init__(self, then: str):
        self._then = then
        self._name = ""
        self._exit_timer: threading.Timer | None = None
        self._stop: Callable[[], None] | None = None
        self._raised: Interrupted | None = None

    @property
    def name(self) -> str:
        """The name of the signal that has arrived, such as SIGTERM, or ""."""
        return self._name

    @contextlib.contextmanager
    def call_on_signal(self, stop: Callable[[], None]) -> Iterator[None]:
        """Makes a signal call `stop`, in another thread, instead of raising `Interrupted`. `stop` must be quick."""
        self._stop = stop
        self._raised = None  # this loop also reacts to an earlier signal
        self.close()
        if self._name:  # the signal arrived between two loops, or after the last step of the previous loop
            stop()
        try:
            yield
        finally:
            self._stop = None

    def _react(self, number: int) -> None:
        """Runs in the listening thread as soon as a signal arrives."""
        if self._name:
            _exit(f"{self._name} came a second time: stopped at once; {self._then}.")
        self._name = signal.Signals(number).name
        stop = self._stop
        if stop is not None:
            stop()
            return
        # The main thread may be inside TensorFlow, waiting for other hosts. Outside loops there is nothing to save.
        self._exit_timer = threading.Timer(SECONDS_TO_STOP, _exit, [_message(number, self._then)])
        self._exit_timer.daemon = True
        self._exit_timer.start()

    def close(self) -> None:
        """Cancels the pending exit of the process."""
        if self._exit_timer is not None:
            self._exit_timer.cancel()

    def _handle(self, number, _) -> None:
        """Runs in the main thread when it returns to Python code."""
        if self._stop is None:
            self._raised = Interrupted(_message(number, self._then))
            raise self._raised


def _message(number: int, then: str) -> str:
    return f"Stopped by {signal.Signals(number).name}; {then}."


def _exit(message: str) -> None:
    sys.stderr.write(f"\n{message}\n")
    sys.stderr.flush()
    os._exit(EXIT_CODE)


def exit_on_signals() -> None:
    """Makes signals exit the process at once with one sentence. For programs that are still importing modules.

    Otherwise Python would show a traceback from inside TensorFlow, or nothing.
    """
    for number in SIGNALS:
        signal.signal(number, lambda number, _: _exit(_message(number, "run the same command again")))


def check() -> None:
    """Raises `Interrupted` again if it was lost, for example in C++ code that calls Python. Call it in long loops.

    Raises:
      Interrupted: if a signal has arrived inside `listen`.
    """
    interruption = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    if isinstance(interruption, Interruption) and interruption._raised is not None:
        raise interruption._raised


@contextlib.contextmanager
def listen(then: str = RESUMES) -> Iterator[Interruption]:
    """Handles the signals inside and restores the previous handlers afterwards.

    Python runs signal handlers only in the main thread, which may be inside one call of TensorFlow for minutes. So the
    interpreter also writes the signal's number to a pipe, which a thread reads. A signal that arrives too late for any
    loop is passed on to a surrounding `listen`.

    Args:
      then: the end of the sentence about a signal: what is saved, and what the same command would do.
    """
    interruption = Interruption(then)
    if threading.current_thread() is not threading.main_thread():
        yield interruption  # only the main thread can handle signals; the handlers stay
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)

    def wait():
        while True:
            numbers = os.read(reading, 64)
            if not numbers:
                return
            for number in numbers:
                if number in SIGNALS:
                    interruption._react(number)

    thread = threading.Thread(target=wait, name="signals", daemon=True)
    before = {number: signal.signal(number, interruption._handle) for number in SIGNALS}
    previous_wakeup = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    thread.start()
    is_finished, replaced = False, set()
    try:
        try:
            yield interruption
            is_finished = True
        finally:
            signal.set_wakeup_fd(previous_wakeup)
            os.close(writing)
            thread.join()  # it has read all signals
            os.close(reading)
            for number, handler in before.items():
                if signal.signal(number, handler) != interruption._handle:
                    replaced.add(signal.Signals(number).name)
            interruption.close()
    except (Exception, SystemExit) as error:
        # The handler may run while TensorFlow's C++ code calls Python. That code can turn `Interrupted` into another
        # error, and so can the end of the program. Ray replaces the handler by one that exits.
        raised = interruption._raised
        if raised is None and isinstance(error, SystemExit) and interruption.name in replaced:
            raised = Interrupted(_message(signal.Signals[interruption.name], then))
        if raised is None:
            raise
        raise raised from error
    is_inside_another = isinstance(getattr(before[signal.SIGTERM], "__self__", None), Interruption)
    if is_finished and interruption.name and is_inside_another:
        signal.raise_signal(signal.Signals[interruption.name])
