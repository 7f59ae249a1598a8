"""HTTP around the routes: what of a request reaches them, and how the answer goes out."""
import asyncio
import concurrent.futures
import gzip
import json

import pytest

from serving import asgi
from serving.model_store import ModelStore
from serving.rest_api import RestApi
from serving.saved_model import SavedModel
from tests import tiny_export

NUMBERS = json.dumps({"signature_name": "numbers", "inputs": {"a": [[1, 2.5]], "b": [3]}}).encode()


@pytest.fixture(name="ask", scope="module")
def _ask(tmp_path_factory):
    """The function that hands messages of an ASGI server to the application and returns what it sends."""
    base = tmp_path_factory.mktemp("export")
    tiny_export.write(base / "1")
    store = ModelStore("ornet", base, SavedModel)
    store.poll()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        application = asgi.Application(RestApi(store), pool)

        def ask(messages, path=b"/v1/models/ornet:predict", headers=(), query=b""):
            sent, left = [], list(messages)

            async def receive():
                return left.pop(0)

            async def send(message):
                sent.append(message)

            scope = {"type": "http", "method": "POST", "path": path.decode(), "raw_path": path}
            asyncio.run(application({**scope, "query_string": query, "headers": headers}, receive, send))
            return sent

        yield ask


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
    ("content", "status"), [(gzip.compress(NUMBERS), 200), (gzip.compress(NUMBERS)[:-12], 400), (NUMBERS, 400)]
)
def test_gzip_bodies_are_inflated_and_damaged_ones_are_empty(ask, content, status):
    found, document = outcome(ask([body(content)], headers=[(b"content-encoding", b"gzip")]))
    assert found == status
    assert document.get("error") in (None, "JSON Parse error: The document is empty")


def test_gzip_bodies_that_grow_beyond_the_limit_are_empty():
    assert asgi.inflate(gzip.compress(bytes(100 * 2**20), 1)) == bytes(100 * 2**20)
    assert asgi.inflate(gzip.compress(bytes(100 * 2**20 + 1), 1)) == b""
