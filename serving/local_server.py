"""Serves an exported model over TensorFlow Serving's REST routes, on machines without TensorFlow Serving.

    python -m serving.local_server --model_base_path=exports/ornet --model_name=ornet --rest_api_port=8501

For one machine and its user: no authentication, no TLS, no limit on a request's size. See serving/README.md.
"""
from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import pathlib
import signal
import socket
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from urllib.parse import quote

import uvicorn
from absl import app, flags, logging
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

import ornet_tf  # noqa: F401 - sets what TensorFlow reads when it is imported
from serving.model_store import ModelStore
from serving.rest_api import RestApi

_LARGEST_INFLATED = 100 * 2**20
_START_SECONDS = 30
_DRAIN_SECONDS = 10


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
        reply = await loop.run_in_executor(self._pool, self._answer, request, body)
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


def bind(host: str, port: int) -> socket.socket:
    """Returns a TCP socket that is bound and does not listen yet.

    Args:
      host: a name or an address of this machine.
      port: 0 for a free one.

    Raises:
      OSError: if the host is not of this machine or the port is taken; the message is one sentence.
      ValueError: if the port is not within 0..65535.
    """
    if not 0 <= port <= 65535:
        raise ValueError(f"Expected a port in 0..65535, but got {port}; 0 takes a free one.")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise OSError(f"Expected a host of this machine, but cannot use {host!r}: {error}.") from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise OSError(f"Cannot serve on port {port} of {host} ({error}); choose a free port, or 0 for any.") from error
    return bound


def model_url(bound: socket.socket, name: str) -> str:
    """Returns the URL of a model on a bound socket, such as http://127.0.0.1:8501/v1/models/ornet."""
    host, port = bound.getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{port}/v1/models/{quote(name)}"


@contextlib.contextmanager
def _serving(
    store: ModelStore, bound: socket.socket, poll_wait_seconds: float, *, cors: bool = False
) -> Iterator[uvicorn.Server]:
    """Yields a server that is ready to run: its model is loaded and its socket takes connections."""
    pool = concurrent.futures.ThreadPoolExecutor(4 * (os.cpu_count() or 1), thread_name_prefix="rest")
    try:
        store.start(poll_wait_seconds=poll_wait_seconds)
        # From here on callers wait instead of being refused, so the address can be told.
        bound.listen(128)
        config = uvicorn.Config(
            Application(RestApi(store, cors=cors), pool),
            http="h11",
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=_DRAIN_SECONDS,
        )
        yield uvicorn.Server(config)
    finally:
        store.stop()
        pool.shutdown(wait=False)
        bound.close()


def _load(path: pathlib.Path):
    # TensorFlow takes seconds to import: a mistake on the command line is answered before.
    from serving.saved_model import SavedModel

    return SavedModel(path)


@contextlib.contextmanager
def running(
    base_path: str | os.PathLike,
    name: str = "ornet",
    *,
    port: int = 0,
    poll_wait_seconds: float = 1.0,
    config_file: str | os.PathLike = "",
) -> Iterator[str]:
    """Serves the newest model below `base_path` on 127.0.0.1 from a background thread, until the context ends.

    Args:
      base_path: the folder that holds the version folders.
      name: the model's name in URLs.
      port: 0 for a free one.
      poll_wait_seconds: seconds between two looks for a new version; 0 for none.
      config_file: TensorFlow Serving's models.config, for its versions and labels; "" to serve the newest version.

    Yields:
      The model's URL, such as http://127.0.0.1:40123/v1/models/ornet, which `serving.client.localize` takes.

    Raises:
      FileNotFoundError: if there is no version below `base_path`.
      ValueError: if the version cannot be loaded, the configuration not read, or the name not stand in a URL.
      OSError: if the port is taken.
    """
    store = ModelStore(name, base_path, _load, config_file)
    bound = bind("127.0.0.1", port)
    url = model_url(bound, name)
    with _serving(store, bound, poll_wait_seconds) as server:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, name="local_server", daemon=True)
        thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError(f"Expected a server at {url}, but it did not start; the log says why.")
            time.sleep(0.01)
        try:
            yield url
        finally:
            server.should_exit = True
            thread.join(2 * _DRAIN_SECONDS)


def serve(
    base_path: str,
    name: str,
    *,
    host: str,
    port: int,
    poll_wait_seconds: float,
    config_file: str = "",
    cors: bool = False,
) -> None:
    """Serves the models below `base_path` until SIGINT or SIGTERM; requests under way are finished first.

    Must be called from the main thread. Raises as `running` does.
    """
    # The server takes the signals while it runs and raises them again afterwards: then, and before, they end the
    # process through the clean-up of `_serving`.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    store = ModelStore(name, base_path, _load, config_file)
    bound = bind(host, port)
    with _serving(store, bound, poll_wait_seconds, cors=cors) as server:
        logging.info("Serving %s at %s", base_path, model_url(bound, name))
        server.run(sockets=[bound])


def _define_flags() -> None:
    # Called by the script alone: another program that imports this module keeps its own flags.
    flags.DEFINE_string("model_base_path", None, "Folder that holds the numbered version folders.", required=True)
    flags.DEFINE_string("model_config_file", "", "TensorFlow Serving's models.config; its versions and labels count.")
    flags.DEFINE_string("model_name", "ornet", "The model's name in URLs.")
    flags.DEFINE_integer("rest_api_port", 8501, "Port; 0 for a free one, which the log tells.")
    flags.DEFINE_bool("rest_api_enable_cors_support", False, "Whether pages of all origins may ask from a browser.")
    flags.DEFINE_string("host", "127.0.0.1", "Address to listen on; 0.0.0.0 opens the server to the network.")
    flags.DEFINE_float("file_system_poll_wait_seconds", 1, "Seconds between two looks for a new version; 0 for none.")


def main(_) -> None:
    """Runs the server as the flags say."""
    values = flags.FLAGS
    try:
        serve(
            values.model_base_path,
            values.model_name,
            host=values.host,
            port=values.rest_api_port,
            poll_wait_seconds=values.file_system_poll_wait_seconds,
            config_file=values.model_config_file,
            cors=values.rest_api_enable_cors_support,
        )
    except (OSError, ValueError) as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    _define_flags()
    app.run(main)
