"""Compares the local server under many concurrent clients with direct calls of the same SavedModel in a loop.

The model is VGG16 with random weights at 224 pixels. The server has its own process. The clients are threads of this
process, each with its own connection; they send prepared requests in the column format, one after the other, with
`--batch` images each. The loop calls the same signature of the same SavedModel with `--batch` images. Server and loop
are measured alternately. Clients and server share the cores.

With --minutes=N it sends good and bad requests at full load for N minutes instead, also from clients that hang up. It
checks every answer, prints the server's memory, and exits with status 1 if an answer was wrong.

  python -m benchmarks.serving_load
  python -m benchmarks.serving_load --minutes=60
"""
from __future__ import annotations

import base64
import contextlib
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import requests
import tensorflow as tf
from absl import app, flags, logging

from benchmarks import _serving_soak, _untrained
from ornet_tf import config

_SIZE = flags.DEFINE_integer("size", 224, "side of the view in pixels, a multiple of 32", lower_bound=32)
_CLASSES = flags.DEFINE_integer("classes", 200, "number of classes", lower_bound=2)
_BATCH = flags.DEFINE_integer("batch", 1, "images in a request", lower_bound=1)
_CLIENTS = flags.DEFINE_integer("clients", 16, "concurrent clients", lower_bound=1)
_SIGNATURE = flags.DEFINE_enum("signature", "serving_default", ["serving_default", "localize"], "the called signature")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "rounds of each side", lower_bound=1)
_SECONDS = flags.DEFINE_float("seconds", 30, "seconds of a round of each side", lower_bound=0.1)
_MINUTES = flags.DEFINE_float("minutes", 0, "minutes of good and bad requests instead", lower_bound=0)
_START_SECONDS = 600


@contextlib.contextmanager
def server(base: str, folder: str) -> Iterator[tuple[str, int]]:
    """Serves the export below `base` in a process of its own; yields the model's URL and the process id."""
    log = pathlib.Path(folder, "server.log")
    command = [sys.executable, "-m", "serving.local_server", f"--model_base_path={base}", "--rest_api_port=0"]
    with log.open("w") as file, subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT) as process:
        try:
            end = time.monotonic() + _START_SECONDS
            while not (found := re.search(r"Serving .* at (http\S+)\n", log.read_text(errors="replace"))):
                if process.poll() is not None or time.monotonic() > end:
                    sys.exit(f"Error: the server did not start; its log:\n{log.read_text(errors='replace')[-2000:]}")
                time.sleep(0.1)
            yield found[1], process.pid
        finally:
            process.terminate()


def column_body(images: Sequence[bytes]) -> bytes:
    """Returns a request for images in the column format."""
    inputs = [{"b64": base64.b64encode(image).decode()} for image in images]
    return json.dumps({"signature_name": _SIGNATURE.value, "inputs": inputs}).encode()


def read_outputs(reply: requests.Response) -> dict[str, list]:
    """Returns the outputs in the reply to a request with readable images.

    Raises:
      ValueError: if the request failed or an image was not read.
    """
    outputs = reply.json().get("outputs", {})
    if outputs.get("status") != [""] * _BATCH.value:
        reason = f"got HTTP {reply.status_code}: {reply.text:.200}"
        raise ValueError(f"Expected the outputs of {_BATCH.value} readable images, {reason}")
    return outputs


def time_clients(url: str, bodies: Sequence[bytes], count: int) -> tuple[float, list[float]]:
    """Sends requests from `count` clients for `--seconds`; returns images per second and the seconds per request."""
    begin = time.perf_counter()
    latencies: list[float] = []
    failures: list[Exception] = []

    def send_requests(number: int) -> None:
        try:
            with requests.Session() as session:
                while not failures and time.perf_counter() < begin + _SECONDS.value:
                    start = time.perf_counter()
                    read_outputs(session.post(f"{url}:predict", bodies[number % len(bodies)]))
                    latencies.append(time.perf_counter() - start)
        except (ValueError, requests.RequestException) as error:
            failures.append(error)

    threads = [threading.Thread(target=send_requests, args=[number]) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return len(latencies) * _BATCH.value / (time.perf_counter() - begin), latencies


def time_loop(run: Callable[[np.ndarray], dict], batches: Sequence[np.ndarray]) -> float:
    """Calls the SavedModel directly for `--seconds`; returns images per second."""
    begin, calls = time.perf_counter(), 0
    while time.perf_counter() < begin + _SECONDS.value:
        run(batches[calls % len(batches)])
        calls += 1
    return calls * len(batches[0]) / (time.perf_counter() - begin)


def compare(url: str, version: str, images: list[bytes]) -> None:
    """Prints the table of throughput and latency."""
    loaded = tf.saved_model.load(version)

    def run(files):
        # The closure keeps `loaded` alive: its functions refer to its variables only weakly.
        outputs = loaded.signatures[_SIGNATURE.value](image_bytes=tf.constant(files))
        return {name: value.numpy() for name, value in outputs.items()}

    rotations = [images[i:] + images[:i] for i in range(len(images))]
    bodies = [column_body(files[: _BATCH.value]) for files in rotations]
    batches = [np.array(files[: _BATCH.value], object) for files in rotations]
    for name, value in run(batches[0]).items():
        served = np.array(read_outputs(requests.post(f"{url}:predict", bodies[0]))[name])
        if value.dtype.kind == "f" and not np.allclose(value, served, rtol=1e-3, atol=1e-4):
            raise ValueError(f"{name}: expected the same values from server and loop, got {served} and {value}.")
    print(f"{'round':<8}{'loop, images/s':>16}{'server':>10}{'ratio':>8}{'p50, ms':>10}{'p99, ms':>10}{'requests':>10}")
    rows, all_latencies = [], []
    for number in range(_ROUNDS.value):
        loop = time_loop(run, batches)
        served, latencies = time_clients(url, bodies, _CLIENTS.value)
        rows.append((loop, served, served / loop))
        all_latencies += latencies
        print_row(number + 1, rows[-1], latencies)
    print_row("median", [statistics.median(column) for column in zip(*rows)], all_latencies)


def print_row(title, row: Sequence[float], latencies: Sequence[float]) -> None:
    """Prints a row of the table, with percentiles of the latencies."""
    p50, p99 = np.percentile(latencies, [50, 99]) * 1000
    loop, served, ratio = row
    speeds = f"{loop:>16.2f}{served:>10.2f}{ratio:>8.2f}"
    print(f"{title!s:<8}{speeds}{p50:>10.0f}{p99:>10.0f}{len(latencies):>10}", flush=True)


def main(_) -> None:
    """Prints a table."""
    logging.set_verbosity(logging.WARNING)  # saving logs thousands of input names
    images = _untrained.jpegs(max(8, _BATCH.value))
    with tempfile.TemporaryDirectory() as folder:
        base = os.path.join(folder, "export")
        version = os.path.join(base, "1")
        os.makedirs(version)
        _untrained.save(_untrained.method_and_localizer(config.default(), _SIZE.value, _CLASSES.value)[1], version)
        with server(base, folder) as (url, pid):
            print(f"VGG16, {_SIZE.value} pixels, {_SIGNATURE.value}, {_CLIENTS.value} clients, {_BATCH.value} images "
                  f"a request, {len(os.sched_getaffinity(0))} cores, "
                  f"TensorFlow {tf.__version__}", flush=True)
            if _MINUTES.value:
                kinds = _serving_soak.make_requests(url, images[: _BATCH.value], _SIGNATURE.value)
                is_correct = _serving_soak.soak(kinds, pid, clients=_CLIENTS.value, seconds=60 * _MINUTES.value)
                sys.exit(0 if is_correct else 1)
            compare(url, version, images)


if __name__ == "__main__":
    app.run(main)
