"""Series of event files as TensorBoard's two readers show them."""
from __future__ import annotations

import hashlib
import os
import pathlib
import subprocess
import tempfile
import time
import warnings

import grpc
from tensorboard import context
from tensorboard.backend.event_processing import plugin_event_accumulator
from tensorboard.data import grpc_provider

SECONDS = 60  # that the data server may take


def digests(folder: str | os.PathLike) -> dict[str, list[tuple[int, str]]]:
    """Returns what `tensorboard --load_fast=false` shows: tag -> (step, digest of the value) of every series."""
    reader = plugin_event_accumulator.EventAccumulator(
        os.fspath(folder), size_guidance={plugin_event_accumulator.TENSORS: 0}
    )
    reader.Reload()
    return {
        tag: [(event.step, _digest(event.tensor_proto)) for event in reader.Tensors(tag)]
        for tag in reader.Tags()["tensors"]
    }


def _digest(tensor) -> str:
    return hashlib.sha256(tensor.SerializeToString(deterministic=True)).hexdigest()


def scalars_of_data_server(folder: str | os.PathLike) -> dict[str, list[tuple[int, float]]]:
    """Returns what `tensorboard --load_fast=true` shows: tag -> (step, value) of every scalar series."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorBoard 2.15 imports pkg_resources.
        from tensorboard.data import server_ingester

    with tempfile.TemporaryDirectory() as temporary:
        port_file = pathlib.Path(temporary, "port")
        options = [f"--logdir={os.fspath(folder)}", "--port=0", f"--port-file={port_file}", "--reload=once"]
        binary = server_ingester.get_server_binary().path
        with subprocess.Popen([binary, *options, "--samples-per-plugin=scalars=all"]) as server:
            try:
                until = time.monotonic() + SECONDS
                _awaited(lambda: port_file.exists() and port_file.read_text().endswith("\n"), until)
                with grpc.insecure_channel(f"localhost:{port_file.read_text().strip()}") as channel:
                    provider = grpc_provider.GrpcDataProvider("", grpc_provider.make_stub(channel))
                    runs = _awaited(lambda: _scalars(provider), until)
            finally:
                server.kill()
    return {tag: [(point.step, point.value) for point in points] for tag, points in runs["."].items()}


def _scalars(provider):
    return provider.read_scalars(
        context.RequestContext(), experiment_id="", plugin_name="scalars", downsample=10**6
    )


def _awaited(ask, until):
    while not (answer := ask()):
        if time.monotonic() > until:
            raise TimeoutError("TensorBoard's data server has not read the events.")
        time.sleep(0.05)
    return answer
