import threading

import pytest

from serving.retries import Retries, TemporaryError


class Fails:
    """Fails some times, then answers; keeps the seconds that each attempt was given."""

    def __init__(self, times, retry_after=0.0, error=None):
        self.times, self.retry_after, self.error, self.given = times, retry_after, error, []

    def __call__(self, seconds):
        self.given.append(seconds)
        if len(self.given) > self.times:
            return "answer"
        raise self.error or TemporaryError(TimeoutError, "No answer.", retry_after=self.retry_after)


def call(ask, *, timeout=30.0, closed=None, **options):
    retries = Retries(**{"first_wait": 0.0, **options})
    return retries.call(ask, timeout=timeout, closed=closed or threading.Event())


def test_asks_again_until_there_is_an_answer():
    ask = Fails(3)
    assert call(ask, attempts=4) == "answer"
    assert len(ask.given) == 4


def test_gives_up_after_the_last_attempt_with_the_error_itself():
    ask = Fails(9)
    with pytest.raises(TimeoutError, match=r"^No answer\. Tried 3 times\.$") as caught:
        call(ask, attempts=3)
    assert len(ask.given) == 3 and caught.value.__suppress_context__
    with pytest.raises(TimeoutError, match=r"^No answer\.$"):
        call(Fails(9), attempts=1)


def test_other_errors_pass_at_once():
    ask = Fails(9, error=ValueError("refused"))
    with pytest.raises(ValueError, match="refused"):
        call(ask)
    assert len(ask.given) == 1


def test_an_attempt_has_its_timeout_or_what_is_left_of_the_deadline():
    ask = Fails(2)
    call(ask, timeout=7.0)
    assert ask.given == [7.0] * 3
    ask = Fails(0)
    call(ask, timeout=1000.0, deadline=5.0)
    assert 0 < ask.given[0] <= 5.0


def test_no_wait_goes_beyond_the_deadline():
    ask = Fails(9, retry_after=3600)
    with pytest.raises(TimeoutError):
        call(ask, deadline=60.0)
    assert len(ask.given) == 1


def test_whoever_is_closed_waits_no_longer():
    closed = threading.Event()
    closed.set()
    ask = Fails(9, retry_after=50)
    with pytest.raises(TimeoutError):
        call(ask, closed=closed)
    assert len(ask.given) == 1


def test_waits_double_up_to_a_limit_are_drawn_and_add_to_what_the_server_asks_for():
    retries = Retries(first_wait=1.0, longest_wait=5.0)
    for attempt, longest in enumerate([1.0, 2.0, 4.0, 5.0, 5.0]):
        drawn = [retries.wait(attempt) for _ in range(200)]
        assert 0.0 <= min(drawn) < longest / 4 and 3 * longest / 4 < max(drawn) <= longest
    assert 7.0 <= retries.wait(0, retry_after=7.0) <= 8.0
    assert retries.wait(100_000) <= 5.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attempts": 0}, "at least one attempt, but got 0"),
        ({"first_wait": -1.0}, "first_wait in seconds, at least 0, but got -1"),
        ({"longest_wait": float("nan")}, "longest_wait in seconds"),
        ({"deadline": 0.0}, "a deadline in seconds, above 0, but got 0"),
    ],
)
def test_numbers_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        Retries(**options)
