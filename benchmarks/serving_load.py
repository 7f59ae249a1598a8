"""Loads the local server with many clients at once, against the bare SavedModel in a loop.

VGG16 with random weights, 224 pixels. The server is a process of its own. The clients are threads of this process, each
with its own connection, and send one request after the other: `--batch` images each, in the column format, prepared
before. The loop calls the same signature of the same SavedModel with `--batch` images, one call after the other. Server
and loop take turns. Clients and server share the cores.

With --minutes=N, instead: N minutes of good and bad requests at full load, among them callers that hang up. Every
answer is judged; the server's memory is shown. It ends with status 1 if an answer was not the expected one.

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

_SIZE = flags.DEFINE_integer("size", 224, "side of the view in pixels, a multiple of 32", lower_bound=32)
_CLASSES = flags.DEFINE_integer("classes", 200, "number of classes", lower_bound=2)
_BATCH = flags.DEFINE_integer("batch", 1, "images in a request", lower_bound=1)
_CLIENTS = flags.DEFINE_integer("clients", 16, "clients at once", lower_bound=1)
_SIGNATURE = flags.DEFINE_enum("signature", "serving_default", ["serving_default", "localize"], "what is asked")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "how often each side works", lower_bound=1)
_SECONDS = flags.DEFINE_float("seconds", 30, "seconds of a round of each side", lower_bound=0.1)
_MINUTES = flags.DEFINE_float("minutes", 0, "minutes of good and bad requests instead", lower_bound=0)
_START_SECONDS = 600


@contextlib.contextmanager
def server(base: str, folder: str) -> Iterator[tuple[str, int]]:
    """Serves the export below `base` in a process of its own; yields the model's URL and the process's number."""
    log = pathlib.Path(folder, "server.log")
    command = [sys.executable, "-m", "serving.local_server", f"--model_base_path={base}", "--rest_api_port=0"]
    with log.open("w") as file, subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT) as process:
        try:
            end = time.monotonic() + _START_SECONDS
            while not (found := re.search(r"Serving .* at (http\S+)\n", log.read_text(errors="replace"))):
                if process.poll() is not None or time.monotonic() > end:
                    sys.exit(f"Error: the server did not start; it said:\n{log.read_text(errors='replace')[-2000:]}")
                time.sleep(0.1)
            yield found[1], process.pid
        finally:
            process.terminate()


def column_body(images: Sequence[bytes]) -> bytes:
    """Returns a request for images in the column format."""
    inputs = [{"b64": base64.b64encode(image).decode()} for image in images]
    return json.dumps({"signature_name": _SIGNATURE.value, "inputs": inputs}).encode()


def answer_of(reply: requests.Response) -> dict[str, list]:
    """Returns the outputs of a request of good images.

    Raises:
      ValueError: if it was refused or has not a row for each image.
    """
    outputs = reply.json().get("outputs", {})
    if outputs.get("status") != [""] * _BATCH.value:
        what = f"got HTTP {reply.status_code}: {reply.text:.200}"
        raise ValueError(f"Expected {_BATCH.value} images to be read, {what}")
    return outputs


def clients_at_work(url: str, bodies: Sequence[bytes], count: int) -> tuple[float, list[float]]:
    """Lets so many clients ask for `--seconds`; returns images per second and the seconds of each request."""
    begin = time.perf_counter()
    taken: list[float] = []
    failures: list[Exception] = []

    def ask(number: int) -> None:
        try:
            with requests.Session() as session:
                while not failures and time.perf_counter() < begin + _SECONDS.value:
                    start = time.perf_counter()
                    answer_of(session.post(f"{url}:predict", bodies[number % len(bodies)]))
                    taken.append(time.perf_counter() - start)
        except (ValueError, requests.RequestException) as error:
            failures.append(error)

    threads = [threading.Thread(target=ask, args=[number]) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return len(taken) * _BATCH.value / (time.perf_counter() - begin), taken


def loop_at_work(run: Callable[[np.ndarray], dict], batches: Sequence[np.ndarray]) -> float:
    """Calls the bare SavedModel for `--seconds`; returns images per second."""
    begin, calls = time.perf_counter(), 0
    while time.perf_counter() < begin + _SECONDS.value:
        run(batches[calls % len(batches)])
        calls += 1
    return calls * len(batches[0]) / (time.perf_counter() - begin)


def compare(url: str, version: str, images: list[bytes]) -> None:
    """Prints the table of throughput and latency."""
    loaded = tf.saved_model.load(version)

    def run(files):
        # `loaded` is held: its functions refer to its variables only weakly.
        outputs = loaded.signatures[_SIGNATURE.value](image_bytes=tf.constant(files))
        return {name: value.numpy() for name, value in outputs.items()}

    turned = [images[i:] + images[:i] for i in range(len(images))]
    bodies = [column_body(files[: _BATCH.value]) for files in turned]
    batches = [np.array(files[: _BATCH.value], object) for files in turned]
    for name, value in run(np.array(turned[0][: _BATCH.value], object)).items():
        served = np.array(answer_of(requests.post(f"{url}:predict", bodies[0]))[name])
        if value.dtype.kind == "f" and not np.allclose(value, served, rtol=1e-3, atol=1e-4):
            raise ValueError(f"{name}: expected the same of server and loop, got {served} and {value}.")
    print(f"{'round':<8}{'loop, images/s':>16}{'server':>10}{'ratio':>8}{'p50, ms':>10}{'p99, ms':>10}{'requests':>10}")
    rows, all_taken = [], []
    for number in range(_ROUNDS.value):
        alone = loop_at_work(run, batches)
        served, taken = clients_at_work(url, bodies, _CLIENTS.value)
        rows.append((alone, served, served / alone))
        all_taken += taken
        show(number + 1, rows[-1], taken)
    show("median", [statistics.median(column) for column in zip(*rows)], all_taken)


def show(title, row: Sequence[float], taken: Sequence[float]) -> None:
    """Prints a row of the table; percentiles are those of the requests that it counts."""
    p50, p99 = np.percentile(taken, [50, 99]) * 1000
    loop, served, ratio = row
    print(f"{title!s:<8}{loop:>16.2f}{served:>10.2f}{ratio:>8.2f}{p50:>10.0f}{p99:>10.0f}{len(taken):>10}", flush=True)


def main(_) -> None:
    """Prints a table."""
    logging.set_verbosity(logging.WARNING)  # saving tells thousands of names of inputs
    images = _untrained.jpegs(max(8, _BATCH.value))
    with tempfile.TemporaryDirectory() as folder:
        base = os.path.join(folder, "export")
        version = os.path.join(base, "1")
        os.makedirs(version)
        _untrained.save(_untrained.method_and_localizer(_SIZE.value, _CLASSES.value)[1], version)
        with server(base, folder) as (url, pid):
            print(f"VGG16, {_SIZE.value} pixels, {_SIGNATURE.value}, {_CLIENTS.value} clients, {_BATCH.value} images "
                  f"a request, {len(os.sched_getaffinity(0))} cores, "
                  f"TensorFlow {tf.__version__}", flush=True)
            if _MINUTES.value:
                kinds = _serving_soak.kinds(url, images[: _BATCH.value], _SIGNATURE.value)
                is_well = _serving_soak.soak(kinds, pid, clients=_CLIENTS.value, seconds=60 * _MINUTES.value)
                sys.exit(0 if is_well else 1)
            compare(url, version, images)


if __name__ == "__main__":
    app.run(main)
