"""Keeps other programs and signals away from the folder of a format while its files are made and moved."""
from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

from ornet_tf import file_lock, paths
from ornet_tf.errors import UserError

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def locked(folder: str) -> Iterator[None]:
    """Locks a folder, which must exist, against other programs; the lock ends with its process.

    Raises:
      OSError: if the folder can't be opened.
      UserError: if another program holds the lock.
    """
    name = paths.readable(folder)
    with file_lock.locked_folder(folder, name) as is_locked:
        if not is_locked:
            raise UserError(
                f"{name} is in use: another program writes there; wait for it, or choose another folder with --output."
            )
        yield


@contextlib.contextmanager
def signals_held_off() -> Iterator[None]:
    """Holds off SIGINT and SIGTERM inside; they are delivered at the end, unless an error ends the work anyway.

    Only the main thread can hold them off. A mask would not do: another thread would take the signal, and Python would
    run its handler in the main thread all the same. The file descriptor for wake-ups is taken away too, as the thread
    that reads it may end the process.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: dict[int, None] = {}
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    wakeup = signal.set_wakeup_fd(-1)
    try:
        for number in handlers:
            signal.signal(number, lambda number, _: arrived.update({number: None}))
        yield
    finally:
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        for number, handler in handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: not set by Python
    for number in arrived:
        signal.raise_signal(number)
