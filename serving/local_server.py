"""Serves an exported model over TensorFlow Serving's REST routes, on machines without TensorFlow Serving.

    python -m serving.local_server --model_base_path=exports/ornet --model_name=ornet --rest_api_port=8501

It is meant for one machine and its user: it has no authentication and no TLS. See serving/README.md.
"""
from __future__ import annotations

import concurrent.futures
import contextlib
import os
import pathlib
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import uvicorn
from absl import app, flags, logging

import ornet_tf  # noqa: F401 - sets what TensorFlow reads when it is imported
from ornet_tf.errors import UserError
from serving import rest_api
from serving.model_store import ModelStore

_START_SECONDS = 30
_DRAIN_SECONDS = 10


def bind(host: str, port: int) -> socket.socket:
    """Returns a TCP socket that is bound but does not listen yet.

    Args:
      host: a name or an address of this machine.
      port: 0 for a free one.

    Raises:
      OSError: if the host is not of this machine, or the port is taken.
      UserError: if the port is not within 0..65535.
    """
    if not 0 <= port <= 65535:
        raise UserError(f"Expected a port in 0..65535, but got {port}; 0 takes a free one.")
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
    return f"{_page_url(bound)}v1/models/{quote(name)}"


def _page_url(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{port}/"


def _load(path: pathlib.Path):
    """Returns the model in a version folder."""
    # TensorFlow takes seconds to import. A mistake on the command line is reported before.
    from serving.saved_model import SavedModel

    return SavedModel(path)


@contextlib.contextmanager
def _loaded_server(
    bound: socket.socket, base_path: str | os.PathLike, name: str, *, poll_wait_seconds: float, cors: bool = False
) -> Iterator[uvicorn.Server]:
    """Yields a server that is ready to run: its model is loaded and its socket accepts connections."""
    with contextlib.ExitStack() as stack:
        pool = concurrent.futures.ThreadPoolExecutor(4 * (os.cpu_count() or 1), thread_name_prefix="rest")
        # The callers of requests that are still running have got an answer already, so nobody waits for them.
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)
        store = ModelStore(name, base_path, _load)
        stack.callback(store.stop)
        store.start(poll_wait_seconds=poll_wait_seconds)
        # From here on callers wait instead of being refused, so the address can be published.
        bound.listen(128)
        config = uvicorn.Config(
            rest_api.application(store, pool, cors=cors),
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


@contextlib.contextmanager
def running(
    base_path: str | os.PathLike,
    name: str = "ornet",
    *,
    port: int = 0,
    poll_wait_seconds: float = 1.0,
    cors: bool = False,
) -> Iterator[str]:
    """Serves the newest version in `base_path` on 127.0.0.1 from a background thread until the context ends.

    Args:
      base_path: the folder that holds the version folders.
      name: the model's name in URLs.
      port: 0 for a free one.
      poll_wait_seconds: seconds between two looks for a new version; 0 for none.
      cors: whether pages of all origins may ask from a browser.

    Yields:
      The model's URL, such as http://127.0.0.1:40123/v1/models/ornet, which `serving.client.localize` takes.

    Raises:
      FileNotFoundError: if there is no version in `base_path`.
      UserError: if the version cannot be loaded, or the name cannot be part of a URL.
      OSError: if the port is taken.
    """
    options = {"poll_wait_seconds": poll_wait_seconds, "cors": cors}
    with bind("127.0.0.1", port) as bound, _loaded_server(bound, base_path, name, **options) as server:
        url = model_url(bound, name)
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


def _end(number, _) -> None:
    logging.info("Ended by %s.", signal.Signals(number).name)
    sys.exit(0)


def serve(base_path: str, name: str, *, host: str, port: int, **options: Any) -> None:
    """Serves the newest version in `base_path` until SIGINT or SIGTERM. Running requests have 10 s to finish.

    It must be called from the main thread. It takes the other options of `running` and raises the same errors.
    """
    # The server handles the signals while it runs and raises them again afterwards. Then, and before it runs, `_end`
    # ends the process through the clean-up of `_loaded_server`.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    with bind(host, port) as bound, _loaded_server(bound, base_path, name, **options) as server:
        logging.info("%s is a page to try it.", _page_url(bound))
        logging.info("Serving %s at %s", base_path, model_url(bound, name))
        server.run(sockets=[bound])


def _define_flags() -> None:
    # Only the script calls this: another program that imports this module keeps its own flags.
    flags.DEFINE_string("model_base_path", None, "Folder that holds the numbered version folders.", required=True)
    flags.DEFINE_string("model_name", "ornet", "The model's name in URLs.")
    flags.DEFINE_integer("rest_api_port", 8501, "Port; 0 for a free one, which the log shows.")
    flags.DEFINE_bool("rest_api_enable_cors_support", False, "Whether pages of all origins may ask from a browser.")
    flags.DEFINE_string("host", "127.0.0.1", "Address to listen on; 0.0.0.0 opens the server to the network.")
    flags.DEFINE_float("file_system_poll_wait_seconds", 1, "Seconds between two looks for a new version; 0 for none.")


def main(_) -> None:
    """Runs the server with the options of the flags."""
    values = flags.FLAGS
    try:
        serve(
            values.model_base_path,
            values.model_name,
            host=values.host,
            port=values.rest_api_port,
            poll_wait_seconds=values.file_system_poll_wait_seconds,
            cors=values.rest_api_enable_cors_support,
        )
    except (OSError, UserError) as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    _define_flags()
    app.run(main)
