"""When a request is sent again: exponential back-off with jitter, within one deadline for all attempts."""
from __future__ import annotations

import dataclasses
import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from ornet_tf.errors import UserError

T = TypeVar("T")


class TemporaryError(Exception):
    """A failure that may pass. `kind` and `message` make the error that is raised when it does not."""

    def __init__(self, kind: type[Exception], message: str, *, retry_after: float = 0.0):
        """Keeps what it is given.

        Args:
          kind: the class of the final error.
          message: one sentence.
          retry_after: seconds that the server wants to be left alone.
        """
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.retry_after = retry_after


@dataclasses.dataclass(frozen=True)
class Retries:
    """How often and how long to try.

    Attributes:
      attempts: the most requests for one answer, >= 1.
      first_wait: the longest wait after the first attempt, in seconds; it doubles with each attempt.
      longest_wait: no such wait is longer, in seconds.
      deadline: seconds for all attempts and waits together.

    Raises:
      UserError: if a number is out of its range.
    """

    attempts: int = 5
    first_wait: float = 0.25
    longest_wait: float = 10.0
    deadline: float = 120.0

    def __post_init__(self):
        if self.attempts < 1:
            raise UserError(f"Expected at least one attempt, but got {self.attempts}.")
        for name in ("first_wait", "longest_wait"):
            if not getattr(self, name) >= 0:
                raise UserError(f"Expected {name} in seconds, at least 0, but got {getattr(self, name)}.")
        if not self.deadline > 0:
            raise UserError(f"Expected a deadline in seconds, above 0, but got {self.deadline}.")

    def wait(self, attempt: int, retry_after: float = 0.0) -> float:
        """Returns how many seconds to wait after an attempt, counted from 0.

        Drawn evenly from 0 on, so that clients that were refused together do not come back together; on top of what
        the server asks for.
        """
        longest = min(self.longest_wait, self.first_wait * 2.0 ** min(attempt, 60))
        return retry_after + random.uniform(0.0, longest)

    def call(self, ask: Callable[[float], T], *, timeout: float, closed: threading.Event) -> T:
        """Returns what `ask` returns, asking again after each TemporaryError while attempts and time are left.

        Args:
          ask: takes the seconds it may need.
          timeout: the most seconds for one attempt.
          closed: set when nobody waits for the answer any more: ends the waiting.

        Raises:
          Exception: of the last TemporaryError's kind; whatever else `ask` raises.
        """
        end = time.monotonic() + self.deadline
        attempt = 0
        while True:
            try:
                # Never 0, which some take for "no limit": the clock may have moved past the end since it was looked at.
                return ask(max(0.001, min(timeout, end - time.monotonic())))
            except TemporaryError as failure:
                seconds = self.wait(attempt, failure.retry_after)
                no_time = time.monotonic() + seconds >= end
                if attempt + 1 >= self.attempts or no_time or closed.wait(seconds):
                    tried = f" Tried {attempt + 1} times." if attempt else ""
                    raise failure.kind(failure.message + tried) from None
                attempt += 1
