"""SIGTERM and SIGINT (preemption, Ctrl-C): training ends after the step it is in, saves, and says how to go on.

Outside of its loop, and in the other programs, they end what runs at once, in a sentence and with the same status. The
sentence says what the same command would do then, which differs from program to program.
"""
from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator

EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: not done yet, the same command can be given again
GOES_ON = "give the same command again to go on"
ANEW = "the same command starts anew"
SECONDS_TO_END = 10.0  # after a signal outside of a loop
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(BaseException):
    """A run that a signal ended. It is no error, so `except Exception` lets it pass."""


class Interruption:
    """Hears signals while the main thread is inside a long call; made by `listen`."""

    def __init__(self, then: str):
        self._then = then
        self._name = ""
        self._last_resort: threading.Timer | None = None
        self._stop: Callable[[], None] | None = None
        self._raised: Interrupted | None = None

    @property
    def name(self) -> str:
        """The signal that came, such as SIGTERM, or an empty string."""
        return self._name

    @contextlib.contextmanager
    def stops(self, stop: Callable[[], None]) -> Iterator[None]:
        """Inside, a signal calls `stop`, in another thread, instead of raising `Interrupted`; `stop` must be quick."""
        self._stop = stop
        self._raised = None  # what comes now is this loop's, which also answers a signal that came before it
        self.close()
        if self._name:  # it came between two loops, or while the last one saved its end
            stop()
        try:
            yield
        finally:
            self._stop = None

    def _heard(self, number: int) -> None:
        """Runs in the listening thread, as soon as the signal comes."""
        if self._name:
            _end_at_once(f"{self._name} came a second time: ended at once; {self._then}.")
        self._name = signal.Signals(number).name
        stop = self._stop
        if stop is not None:
            stop()
            return
        # The main thread may be inside TensorFlow, waiting for other hosts. Outside of loops there is nothing to save.
        self._last_resort = threading.Timer(SECONDS_TO_END, _end_at_once, [_sentence(number, self._then)])
        self._last_resort.daemon = True
        self._last_resort.start()

    def close(self) -> None:
        """Lets the process live on."""
        if self._last_resort is not None:
            self._last_resort.cancel()

    def _handle(self, number, _) -> None:
        """Runs in the main thread, once it is back in Python."""
        if self._stop is None:
            self._raised = Interrupted(_sentence(number, self._then))
            raise self._raised


def _sentence(number: int, then: str) -> str:
    return f"Ended by {signal.Signals(number).name}; {then}."


def _end_at_once(sentence: str) -> None:
    sys.stderr.write(f"\n{sentence}\n")
    sys.stderr.flush()
    os._exit(EXIT_CODE)


def end_at_once() -> None:
    """Lets the signals end the process where it stands: for a program that has only begun to import.

    Python would answer with a traceback from the middle of TensorFlow, or with nothing.
    """
    for number in SIGNALS:
        signal.signal(number, lambda number, _: _end_at_once(_sentence(number, "give the same command again")))


def check() -> None:
    """Raises the `Interrupted` of a signal whose exception was lost, as in C++ code that calls Python; in long loops.

    Raises:
      Interrupted: if the signals are listened to, and one came.
    """
    heard = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    if isinstance(heard, Interruption) and heard._raised is not None:
        raise heard._raised


@contextlib.contextmanager
def listen(then: str = GOES_ON) -> Iterator[Interruption]:
    """Handles the signals inside, and restores the handlers that were there.

    Args:
      then: the end of the sentence about a signal: what is there, and what the same command would do.

    Python runs its handlers in the main thread only, which may be inside one call of TensorFlow for minutes. So the
    interpreter also writes the signal's number to a pipe, which a thread reads. A signal that came too late for any
    loop goes to the `listen` around this one, if there is one.
    """
    interruption = Interruption(then)
    if threading.current_thread() is not threading.main_thread():
        yield interruption  # signals can only be handled in the main thread: they keep the effect that they have
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
                    interruption._heard(number)

    thread = threading.Thread(target=wait, name="signals", daemon=True)
    before = {number: signal.signal(number, interruption._handle) for number in SIGNALS}
    woken = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    thread.start()
    at_its_end = False
    try:
        yield interruption
        at_its_end = True
    except (Exception, SystemExit) as error:
        # The handler may run while TensorFlow's C++ code calls Python: it can make another error of what was raised,
        # and that one a sentence of the program's end.
        if interruption._raised is None:
            raise
        raise interruption._raised from error
    finally:
        signal.set_wakeup_fd(woken)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(writing)
        thread.join()
        interruption.close()
        os.close(reading)
    is_inside_another = isinstance(getattr(before[signal.SIGTERM], "__self__", None), Interruption)
    if at_its_end and interruption.name and is_inside_another:
        signal.raise_signal(signal.Signals[interruption.name])
