"""A soak test of a server: good and bad requests at full load for a long time; see benchmarks/serving_load.py."""
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

_GOOD_SHARE = 0.7  # of requests that are well formed and hold readable images
_REPORTS = 10  # lines about memory during a soak
_MAX_MISTAKES = 100  # then the soak ends: requests to a server that has stopped fail thousands of times a second
_TIMEOUT = 600.0  # seconds for an answer: 16 clients may wait for each other on few cores
_SHORT_TIMEOUT = 0.02  # seconds until a client that hangs up closes its connection


class Request(NamedTuple):
    """A kind of request with its expected answer.

    Attributes:
      url: the address.
      body: the content.
      http_status: the expected status; 0 if the client hangs up before the answer.
      is_read: whether the server can read each image; if not, its `status` must hold a reason.
    """

    url: str
    body: bytes
    http_status: int
    is_read: Sequence[bool] = ()


def make_requests(url: str, images: Sequence[bytes], signature: str) -> dict[str, Request]:
    """Returns one request of each kind, by name; "good" is the kind that most clients send.

    Args:
      url: of the model.
      images: readable image files of one request; some kinds replace the last one.
      signature: the name of the called signature.
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


def find_mistake(session: requests.Session, request: Request) -> str:
    """Sends a request; returns what is wrong with the answer, or an empty string."""
    try:
        reply = session.post(request.url, request.body, timeout=_TIMEOUT if request.http_status else _SHORT_TIMEOUT)
    except requests.RequestException as error:
        is_expected = not request.http_status and isinstance(error, requests.Timeout)
        return "" if is_expected else f"no answer: {error}"
    if not request.http_status:
        return ""  # answered before the client hung up
    if reply.status_code != request.http_status:
        return f"expected HTTP {request.http_status}, got {reply.status_code}: {reply.text:.200}"
    if request.is_read:
        try:
            is_read = [not status for status in reply.json()["outputs"]["status"]]
        except (ValueError, KeyError, TypeError) as error:
            return f"expected outputs, got {reply.text:.200} ({error!r})"
        if is_read != list(request.is_read):
            return f"expected readable images {list(request.is_read)}, got {is_read}"
    return ""


def soak(requests_by_kind: Mapping[str, Request], pid: int, *, clients: int, seconds: float) -> bool:
    """Sends requests of all kinds without a pause; prints memory meanwhile and a table at the end.

    Args:
      requests_by_kind: see `make_requests`.
      pid: of the server.
      clients: the number of concurrent clients.
      seconds: the duration.

    Returns:
      Whether every answer was as expected.
    """
    counts: collections.Counter[str] = collections.Counter()
    mistakes: list[tuple[str, str]] = []
    bad_kinds = [kind for kind in requests_by_kind if kind != "good"]
    with requests.Session() as session:
        for kind, request in requests_by_kind.items():  # once each before memory is read: first runs allocate
            mistake = find_mistake(session, request)
            mistakes += [(kind, mistake)] if mistake else []
            counts[kind] += 1
    begin, lock = time.monotonic(), threading.Lock()

    def work(number: int) -> None:
        rng = random.Random(number)
        with requests.Session() as session:
            while time.monotonic() < begin + seconds and len(mistakes) < _MAX_MISTAKES:
                kind = "good" if rng.random() < _GOOD_SHARE else rng.choice(bad_kinds)
                mistake = find_mistake(session, requests_by_kind[kind])
                with lock:
                    counts[kind] += 1
                    mistakes.extend([(kind, mistake)] if mistake else [])

    print(f"{'minutes':<10}{'requests':>10}{'unexpected':>12}{'RSS, MiB':>10}{'peak':>8}", flush=True)
    threads = [threading.Thread(target=work, args=[number]) for number in range(clients)]
    _print_progress(begin, counts, mistakes, pid)
    for thread in threads:
        thread.start()
    for number in range(1, _REPORTS):
        while time.monotonic() < begin + seconds * number / _REPORTS and len(mistakes) < _MAX_MISTAKES:
            time.sleep(min(1.0, seconds / _REPORTS))
        _print_progress(begin, counts, mistakes, pid)
    for thread in threads:
        thread.join()
    _print_progress(begin, counts, mistakes, pid)
    mistakes_by_kind = collections.Counter(kind for kind, _ in mistakes)
    print(f"\n{'kind':<26}{'requests':>10}{'unexpected':>12}")
    for kind in requests_by_kind:
        print(f"{kind:<26}{counts[kind]:>10}{mistakes_by_kind[kind]:>12}")
    for kind, mistake in dict(mistakes).items():
        print(f"{kind}: {mistake}")
    return not mistakes


def _print_progress(begin: float, counts: collections.Counter, mistakes: Sequence, pid: int) -> None:
    try:
        memory = _memory.read_memory(pid)
    except (OSError, KeyError):  # the server has ended or is ending
        memory = {"VmRSS": 0, "VmHWM": 0}
    minutes, total = (time.monotonic() - begin) / 60, sum(counts.values())
    print(f"{minutes:<10.1f}{total:>10}{len(mistakes):>12}{memory['VmRSS']:>10}{memory['VmHWM']:>8}", flush=True)
