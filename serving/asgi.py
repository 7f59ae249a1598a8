"""HTTP around the routes of serving/rest_api.py: an ASGI application, which uvicorn runs."""
from __future__ import annotations

import asyncio
import concurrent.futures
import zlib

from absl import logging
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from serving.rest_api import RestApi

_LARGEST_INFLATED = 100 * 2**20


class Application:
    """The ASGI application: reads a request, answers it in a thread pool, so that the event loop stays free."""

    def __init__(self, api: RestApi, pool: concurrent.futures.Executor):
        self._api = api
        self._pool = pool

    async def __call__(self, scope, receive, send) -> None:
        """Answers one HTTP request."""
        request = Request(scope, receive)
        try:
            body = await request.body()
        except ClientDisconnect:
            return
        loop = asyncio.get_running_loop()
        try:
            reply = await loop.run_in_executor(self._pool, self._answer, request, body)
        except asyncio.CancelledError:  # by the server, when the time to finish requests is over
            reply = self._api.failure(503, "The server is shutting down.")
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller waits for an answer.
            logging.exception("A request could not be answered.")
            reply = self._api.failure(500, f"The server failed: {type(error).__name__}")
        response = Response(reply.content, reply.status, reply.headers, reply.content_type)
        await response(scope, receive, send)

    def _answer(self, request: Request, body: bytes):
        target = request.scope["raw_path"].decode("latin-1")
        if request.scope["query_string"]:
            target += "?" + request.scope["query_string"].decode("latin-1")
        if "gzip" in request.headers.get("content-encoding", ""):
            body = inflate(body)
        return self._api.answer(request.method, target, body, origin=request.headers.get("origin", ""))


def inflate(body: bytes) -> bytes:
    """Returns the contents of a gzip body; b"" if it is damaged or larger than 100 MiB, as TensorFlow Serving does."""
    stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        content = stream.decompress(body, _LARGEST_INFLATED)
    except zlib.error:
        return b""
    return content if stream.eof else b""
