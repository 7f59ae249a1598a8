"""Good and bad requests at full load for a long time: the soak of benchmarks/serving_load.py."""
from __future__ import annotations

import base64
import collections
import json
import random
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import requests

from benchmarks import _memory

_GOOD = 0.7  # the share of requests that are well formed and hold good images
_LOOKS = 10  # how often memory is shown on the way
_MOST_MISTAKES = 100  # that are waited for: a server that is gone refuses thousands a second
_PATIENCE = 600.0  # seconds for an answer: 16 clients may wait for each other on few cores
_BRIEF = 0.02  # seconds after which a caller hangs up


class Request(NamedTuple):
    """A kind of request.

    Attributes:
      url: where it is sent.
      body: what is sent.
      http_status: what is expected; 0: the caller hangs up before the answer.
      is_read: of an answer, whether each image is to be read; an image that isn't is to have words for it.
    """

    url: str
    body: bytes
    http_status: int
    is_read: Sequence[bool] = ()


def kinds(url: str, images: Sequence[bytes], signature: str) -> dict[str, Request]:
    """Returns requests by name; "good" is the one that most are to be.

    Args:
      url: of the model.
      images: good ones, those of a request; in some the last one is replaced.
      signature: the one that is asked.
    """
    encoded = [{"b64": base64.b64encode(image).decode()} for image in images]

    def body(inputs: Any, name: str = signature) -> bytes:
        return json.dumps({"signature_name": name, "inputs": inputs}).encode()

    def with_last(last: bytes) -> Request:
        inputs = [*encoded[:-1], {"b64": base64.b64encode(last).decode()}]
        return Request(predict, body(inputs), 200, [True] * (len(images) - 1) + [False])

    predict, good = f"{url}:predict", body(encoded)
    return {
        "good": Request(predict, good, 200, [True] * len(images)),
        "truncated image": with_last(images[-1][: len(images[-1]) // 2]),
        "no image": with_last(b"no image"),
        "empty image": with_last(b""),
        "caller hangs up": Request(predict, good, 0),
        "no JSON": Request(predict, good[: len(good) // 2], 400),
        "no base64": Request(predict, body([{"b64": "***"}]), 400),
        "number as an image": Request(predict, body([1.5]), 400),
        "what fails in the graph": Request(predict, body([encoded]), 400),
        "wrong name of the input": Request(predict, body({"image": encoded}), 400),
        "unknown signature": Request(predict, body(encoded, "unknown"), 400),
        "unknown model": Request(f"{url}-other:predict", good, 404),
        "unknown version": Request(f"{url}/versions/999:predict", good, 404),
        "unknown route": Request(f"{url.split('/v1')[0]}/v2/models", good, 404),
    }


def mistake(session: requests.Session, request: Request) -> str:
    """Sends a request; returns what is wrong with the answer, or nothing."""
    try:
        reply = session.post(request.url, request.body, timeout=_PATIENCE if request.http_status else _BRIEF)
    except requests.RequestException as error:
        is_expected = not request.http_status and isinstance(error, requests.Timeout)
        return "" if is_expected else f"no answer: {error}"
    if not request.http_status:
        return ""  # answered before the caller could hang up
    if reply.status_code != request.http_status:
        return f"expected HTTP {request.http_status}, got {reply.status_code}: {reply.text:.200}"
    if request.is_read:
        try:
            is_read = [not status for status in reply.json()["outputs"]["status"]]
        except (ValueError, KeyError, TypeError) as error:
            return f"expected outputs, got {reply.text:.200} ({error!r})"
        if is_read != list(request.is_read):
            return f"expected images to be read {list(request.is_read)}, got {is_read}"
    return ""


def soak(requests_of: Mapping[str, Request], pid: int, *, clients: int, seconds: float) -> bool:
    """Lets clients send requests of all kinds without a pause; prints memory on the way and a table at the end.

    Args:
      requests_of: see `kinds`.
      pid: of the server.
      clients: how many at once.
      seconds: how long.

    Returns:
      Whether every answer was the expected one, and there was one of every kind.
    """
    counts: collections.Counter[str] = collections.Counter()
    mistakes: list[tuple[str, str]] = []
    bad = [name for name in requests_of if name != "good"]
    with requests.Session() as session:
        for name in requests_of:  # each once before memory is looked at: first runs of graphs allocate
            mistakes += [(name, what)] if (what := mistake(session, requests_of[name])) else []
            counts[name] += 1
    begin, lock = time.monotonic(), threading.Lock()

    def work(number: int) -> None:
        rng = random.Random(number)
        with requests.Session() as session:
            while time.monotonic() < begin + seconds and len(mistakes) < _MOST_MISTAKES:
                name = "good" if rng.random() < _GOOD else rng.choice(bad)
                what = mistake(session, requests_of[name])
                with lock:
                    counts[name] += 1
                    mistakes.extend([(name, what)] if what else [])

    print(f"{'minutes':<10}{'requests':>10}{'unexpected':>12}{'RSS, MiB':>10}{'peak':>8}", flush=True)
    threads = [threading.Thread(target=work, args=[number]) for number in range(clients)]
    _look(begin, counts, mistakes, pid)
    for thread in threads:
        thread.start()
    for look in range(1, _LOOKS):
        while time.monotonic() < begin + seconds * look / _LOOKS and len(mistakes) < _MOST_MISTAKES:
            time.sleep(min(1.0, seconds / _LOOKS))
        _look(begin, counts, mistakes, pid)
    for thread in threads:
        thread.join()
    _look(begin, counts, mistakes, pid)
    wrong = collections.Counter(name for name, _ in mistakes)
    print(f"\n{'kind':<26}{'requests':>10}{'unexpected':>12}")
    for name in requests_of:
        print(f"{name:<26}{counts[name]:>10}{wrong[name]:>12}")
    for name, what in dict(mistakes).items():
        print(f"{name}: {what}")
    return not mistakes


def _look(begin: float, counts: collections.Counter, mistakes: Sequence, pid: int) -> None:
    try:
        memory = _memory.of_process(pid)
    except (OSError, KeyError):  # gone, or about to be
        memory = {"VmRSS": 0, "VmHWM": 0}
    minutes, total = (time.monotonic() - begin) / 60, sum(counts.values())
    print(f"{minutes:<10.1f}{total:>10}{len(mistakes):>12}{memory['VmRSS']:>10}{memory['VmHWM']:>8}", flush=True)
