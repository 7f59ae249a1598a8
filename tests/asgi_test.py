"""HTTP around the routes: what of a request reaches them, and how the answer goes out."""
import asyncio
import concurrent.futures
import gzip
import json
import threading

import pytest

from serving import asgi
from serving.model_store import ModelStore
from serving.rest_api import RestApi
from serving.saved_model import SavedModel
from tests import tiny_export

NUMBERS = json.dumps({"signature_name": "numbers", "inputs": {"a": [[1, 2.5]], "b": [3]}}).encode()


async def answer(application, messages, headers=(), query=b"", path=b"/v1/models/ornet:predict"):
    """Hands messages of an ASGI server to the application and returns what it sends."""
    sent, left = [], list(messages)

    async def receive():
        return left.pop(0)

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path.decode(), "raw_path": path}
    await application({**scope, "query_string": query, "headers": headers}, receive, send)
    return sent


@pytest.fixture(name="store", scope="module")
def _store(tmp_path_factory):
    base = tmp_path_factory.mktemp("export")
    tiny_export.write(base / "1")
    store = ModelStore("ornet", base, SavedModel)
    store.poll()
    return store


@pytest.fixture(name="ask", scope="module")
def _ask(store):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        application = asgi.Application(RestApi(store), pool)
        yield lambda messages, **request: asyncio.run(answer(application, messages, **request))


def body(content, more=False):
    return {"type": "http.request", "body": content, "more_body": more}


def outcome(sent):
    start, end = sent
    return start["status"], json.loads(end["body"])


def test_a_body_may_come_in_parts(ask):
    status, document = outcome(ask([body(NUMBERS[:9], more=True), body(NUMBERS[9:])]))
    assert (status, document["outputs"]["total"]) == (200, [3.5])


def test_a_query_is_part_of_the_path(ask):
    status, document = outcome(ask([body(NUMBERS)], query=b"x=1"))
    assert (status, document) == (400, {"error": "Malformed request: POST /v1/models/ornet:predict?x=1"})


def test_nobody_is_answered_who_has_hung_up(ask):
    assert ask([body(NUMBERS[:9], more=True), {"type": "http.disconnect"}]) == []


@pytest.mark.parametrize(
    ("content", "status"),
    [(gzip.compress(NUMBERS), 200), (gzip.compress(NUMBERS)[:-12], 400), (NUMBERS, 400)],
    ids=["whole", "damaged", "plain"],
)
def test_gzip_bodies_are_inflated_and_damaged_ones_are_empty(ask, content, status):
    found, document = outcome(ask([body(content)], headers=[(b"content-encoding", b"gzip")]))
    assert found == status
    if status == 200:
        assert document["outputs"]["total"] == [3.5]
    else:
        assert document == {"error": "JSON Parse error: The document is empty"}


def test_gzip_bodies_that_grow_beyond_the_limit_are_empty():
    assert asgi.inflate(gzip.compress(bytes(100 * 2**20), 1)) == bytes(100 * 2**20)
    assert asgi.inflate(gzip.compress(bytes(100 * 2**20 + 1), 1)) == b""


def test_a_request_that_the_server_gives_up_is_told_so(store):
    gate = threading.Event()

    async def give_up():
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            pool.submit(gate.wait)
            task = asyncio.ensure_future(answer(asgi.Application(RestApi(store), pool), [body(NUMBERS)]))
            await asyncio.sleep(0.05)
            task.cancel()
            try:
                return await task
            finally:
                gate.set()

    assert outcome(asyncio.run(give_up())) == (503, {"error": "The server is shutting down."})


def test_a_fault_of_the_server_is_told_without_its_details(store):
    class Broken(RestApi):
        def answer(self, *_, **__):
            raise KeyError("a secret")

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        sent = asyncio.run(answer(asgi.Application(Broken(store, cors=True), pool), [body(NUMBERS)]))
    assert outcome(sent) == (500, {"error": "The server failed: KeyError"})
    assert (b"access-control-allow-origin", b"*") in sent[0]["headers"]
