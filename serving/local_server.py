"""Serves an exported model over TensorFlow Serving's REST routes, on machines without TensorFlow Serving.

    python -m serving.local_server --model_base_path=exports/ornet --model_name=ornet --rest_api_port=8501

For one machine and its user: no authentication, no TLS, no limit on a request's size. See serving/README.md.
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
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import uvicorn
from absl import app, flags, logging

import ornet_tf  # noqa: F401 - sets what TensorFlow reads when it is imported
from ornet_tf.errors import UserError
from serving import batching, batching_parameters
from serving.asgi import Application
from serving.model_store import ModelStore
from serving.rest_api import RestApi

_START_SECONDS = 30
_DRAIN_SECONDS = 10
_THREADS_WITH_BATCHES = 64  # they mostly wait for an answer; what works is limited by num_batch_threads


def bind(host: str, port: int) -> socket.socket:
    """Returns a TCP socket that is bound and does not listen yet.

    Args:
      host: a name or an address of this machine.
      port: 0 for a free one.

    Raises:
      OSError: if the host is not of this machine or the port is taken; the message is one sentence.
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
    host, port = bound.getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{port}/v1/models/{quote(name)}"


def _loader(scheduler: batching.Scheduler | None) -> Callable[[pathlib.Path], Any]:
    """Returns what loads a version, so that it puts requests together if there is a scheduler."""

    def load(path: pathlib.Path):
        # TensorFlow takes seconds to import: a mistake on the command line is answered before.
        from serving.saved_model import SavedModel

        model = SavedModel(path)
        return batching.BatchedModel(model, scheduler) if scheduler else model

    return load


@contextlib.contextmanager
def _serving(
    bound: socket.socket,
    base_path: str | os.PathLike,
    name: str,
    *,
    poll_wait_seconds: float,
    config_file: str | os.PathLike = "",
    batches: batching_parameters.Parameters | None = None,
    cors: bool = False,
) -> Iterator[uvicorn.Server]:
    """Yields a server that is ready to run: its model is loaded and its socket takes connections."""
    with contextlib.ExitStack() as stack:
        scheduler = batching.Scheduler(batches) if batches else None
        if scheduler:
            stack.callback(scheduler.close)
        threads = _THREADS_WITH_BATCHES if batches else 4 * (os.cpu_count() or 1)
        rest = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="rest")
        # Requests that are left when the time to finish them is over: their callers have got an answer already.
        stack.callback(rest.shutdown, wait=False, cancel_futures=True)
        store = ModelStore(name, base_path, _loader(scheduler), config_file)
        stack.callback(store.stop)
        store.start(poll_wait_seconds=poll_wait_seconds)
        # From here on callers wait instead of being refused, so the address can be told.
        bound.listen(128)
        config = uvicorn.Config(
            Application(RestApi(store, cors=cors), rest),
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
    config_file: str | os.PathLike = "",
    batches: batching_parameters.Parameters | None = None,
) -> Iterator[str]:
    """Serves the newest model below `base_path` on 127.0.0.1 from a background thread, until the context ends.

    Args:
      base_path: the folder that holds the version folders.
      name: the model's name in URLs.
      port: 0 for a free one.
      poll_wait_seconds: seconds between two looks for a new version; 0 for none.
      config_file: TensorFlow Serving's models.config, for its versions and labels; "" to serve the newest version.
      batches: how requests that wait at the same time are put together; None: each is a run of its own.

    Yields:
      The model's URL, such as http://127.0.0.1:40123/v1/models/ornet, which `serving.client.localize` takes.

    Raises:
      FileNotFoundError: if there is no version below `base_path`.
      UserError: if the version cannot be loaded, the configuration not read, or the name not stand in a URL.
      OSError: if the port is taken.
    """
    options = {"poll_wait_seconds": poll_wait_seconds, "config_file": config_file, "batches": batches}
    with bind("127.0.0.1", port) as bound, _serving(bound, base_path, name, **options) as server:
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
    """Serves the models below `base_path` until SIGINT or SIGTERM; requests under way have 10 s to be finished.

    Must be called from the main thread. Takes the options of `running`, and `cors`: whether pages of all origins may
    ask. Raises as `running` does.
    """
    # The server takes the signals while it runs and raises them again afterwards: then, and before, they end the
    # process through the clean-up of `_serving`.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    with bind(host, port) as bound, _serving(bound, base_path, name, **options) as server:
        logging.info("Serving %s at %s", base_path, model_url(bound, name))
        server.run(sockets=[bound])


def _define_flags() -> None:
    # Called by the script alone: another program that imports this module keeps its own flags.
    flags.DEFINE_string("model_base_path", None, "Folder that holds the numbered version folders.", required=True)
    flags.DEFINE_string("model_config_file", "", "TensorFlow Serving's models.config; its versions and labels count.")
    flags.DEFINE_string("model_name", "ornet", "The model's name in URLs.")
    flags.DEFINE_integer("rest_api_port", 8501, "Port; 0 for a free one, which the log tells.")
    flags.DEFINE_bool("enable_batching", False, "Whether requests that wait together are answered together.")
    flags.DEFINE_string("batching_parameters_file", "", "TensorFlow Serving's batching parameters.")
    flags.DEFINE_bool("rest_api_enable_cors_support", False, "Whether pages of all origins may ask from a browser.")
    flags.DEFINE_string("host", "127.0.0.1", "Address to listen on; 0.0.0.0 opens the server to the network.")
    flags.DEFINE_float("file_system_poll_wait_seconds", 1, "Seconds between two looks for a new version; 0 for none.")


def _batches(enabled: bool, path: str) -> batching_parameters.Parameters | None:
    if not enabled:
        if path:
            raise UserError("Expected --enable_batching with --batching_parameters_file; add it.")
        return None
    return batching_parameters.read(path) if path else batching_parameters.Parameters()


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
            batches=_batches(values.enable_batching, values.batching_parameters_file),
            cors=values.rest_api_enable_cors_support,
        )
    except (OSError, UserError) as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    _define_flags()
    app.run(main)
