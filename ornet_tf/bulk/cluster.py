"""Ray: starts or joins a cluster, divides its cores and GPUs among workers, and gives them the parts."""
from __future__ import annotations

import contextlib
import logging as std_logging
import math
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from ornet_tf.bulk.worker import Job, Worker
from ornet_tf.errors import MissingPackageError, UserError
from ornet_tf.runs import interruption

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_AUTO_CONNECT": "0",  # what is cleaned up after the end must not start another cluster
    "RAY_worker_niceness": "0",  # of a cluster on this machine: its workers are the program, not its background
    # One message of each run is about the arguments of workers: they are on this machine, whose loss ends the run.
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}
_TOKEN = "~/.ray/auth_token"
_STORE_BYTES = 128 * 2**20  # of Ray's object store on this machine: workers read and write parts themselves
_SECONDS_TO_ANSWER = 10.0
_WHEN_ENDED = "finished parts stay, and the same command does what is missing"
_QUEUED = 2  # parts that a worker has, the running one included
# A worker reserves a part of the cores that it uses, so that those of a lost machine find room on the others.
_RESERVED = 0.5
_LEAST_GPU = 0.0001  # of a GPU, for Ray


class Layout(NamedTuple):
    """How a cluster is divided.

    Attributes:
      workers: how many there are.
      threads: of TensorFlow in each worker.
      cpus: cores that Ray reserves for each worker.
      gpus: of each worker; 0 for none, fractions are allowed.
    """

    workers: int
    threads: int
    cpus: float
    gpus: float


def import_ray() -> ModuleType:
    """Returns the module `ray`.

    Raises:
      MissingPackageError: if it is not installed.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # Ray itself uses a token that is there only for a cluster that it starts, and is refused by one that it joins.
    if {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & {*os.environ} or os.path.exists(os.path.expanduser(_TOKEN)):
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingPackageError(
            f"Expected Ray, which is not installed ({error}); install it: pip install '.[many]' in the checkout, or "
            "pip install 'ray[data]'."
        ) from None
    return ray


def check(address: str, gpus_per_worker: float | None) -> None:
    """Fails early if Ray is not installed, or would not take the options.

    Args:
      address: see `connected`.
      gpus_per_worker: see `divide`.

    Raises:
      MissingPackageError: if Ray is not installed.
      UserError: if nothing answers at the address, it has another form, or the number is none of GPUs.
    """
    import_ray()
    gpus = gpus_per_worker or 0
    if gpus and not (_LEAST_GPU <= gpus <= 1 or (math.isfinite(gpus) and gpus == int(gpus))):
        raise UserError(
            f"--gpus_per_worker: expected 0, a fraction from {_LEAST_GPU} to 1, or a whole number, got {gpus}."
        )
    address = address or os.environ.get("RAY_ADDRESS", "")
    if address in ("", "auto", "local"):
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        raise UserError(
            f"--address: expected HOST:PORT of a Ray cluster, such as 10.0.0.1:6379, got {address!r}; Ray's dashboard "
            "and ray:// have other ports."
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), _SECONDS_TO_ANSWER).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"--address: expected a Ray cluster at {address}, but nothing answers there ({error}); start one with ray "
            "start --head, or correct the address."
        ) from None


@contextlib.contextmanager
def connected(address: str) -> Iterator[ModuleType]:
    """Joins the cluster at an address, or starts one on this machine that ends with the program.

    Args:
      address: HOST:PORT of a cluster, "auto" for the one of this machine; "" for that of the variable RAY_ADDRESS, or
        a new one if there is none, or it is empty.

    Raises:
      MissingPackageError: if Ray is not installed.
      UserError: if there is no cluster at the address.
      interruption.Interrupted: if a signal comes.
    """
    ray = import_ray()
    options: dict[str, Any] = {"address": address or os.environ.get("RAY_ADDRESS") or "local"}
    if options["address"] == "local":
        options |= {"num_cpus": len(os.sched_getaffinity(0)), "object_store_memory": _STORE_BYTES}
        options |= {"include_dashboard": False}
    try:
        with interruption.listen(_WHEN_ENDED):
            _init(ray, options)
        for handler in std_logging.getLogger("ray.data").handlers:
            handler.setLevel("CRITICAL")  # this program logs progress, and raises errors
        with interruption.listen(_WHEN_ENDED):  # again: the start of Ray has replaced the handler of SIGTERM
            yield ray
    finally:
        ray.shutdown()


def _init(ray: ModuleType, options: Mapping[str, Any]) -> None:
    try:
        # What workers print goes to their own logs; their errors come as answers.
        ray.init(log_to_driver=False, logging_level="error", **options)
    except Exception as error:  # a start that takes too long is a plain Exception
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"--address: expected a Ray cluster ({options['address']}), but it can't be joined or started: {reason} "
            f"This is Ray {ray.__version__}. If the cluster has a token, this machine needs it too, in {_TOKEN}."
        ) from error


def divide(nodes: Sequence[Mapping[str, float]], workers: int, gpus_per_worker: float | None) -> Layout:
    """Divides the cores and GPUs of a cluster. All workers are equal, so that each fits on every machine that is used.

    Args:
      nodes: the resources of each machine, as Ray names them: CPU and perhaps GPU.
      workers: how many there shall be; 0 for one per GPU (or as many as share it). Without GPUs 0 is for one on the
        machine with the fewest cores, and for as many on each other one as have the same number of cores.
      gpus_per_worker: GPUs of a worker; None for 1 where the cluster has any, otherwise 0.

    Raises:
      UserError: if there are not enough GPUs.
    """
    nodes = [node for node in nodes if node.get("CPU", 0) >= 1] or [{"CPU": 1.0}]
    gpus = [node.get("GPU", 0.0) for node in nodes]
    each = float(any(gpus)) if gpus_per_worker is None else gpus_per_worker
    if each:  # it can be shared, but a worker's fraction lies on one
        if not any(gpus):
            raise UserError("--gpus_per_worker: the cluster has no GPU; give 0, or leave the flag out.")
        room = [int(gpu) * int(1 / each + 1e-6) if each <= 1 else int(gpu / each) for gpu in gpus]
        if sum(room) < max(workers, 1):
            raise UserError(
                f"--gpus_per_worker: expected {sum(gpus):g} GPUs of the cluster to suffice for {max(workers, 1)} "
                f"workers with {each:g} each, but they do for {sum(room)}; give fewer --workers or a smaller fraction."
            )
    else:
        least = min(node["CPU"] for node in nodes)
        room = [workers or int(node["CPU"] // least) for node in nodes]
    workers = workers or sum(room)
    cores = min(node["CPU"] / count for node, count in zip(nodes, _spread(room, workers)) if count)
    threads = max(1, int(cores))
    return Layout(workers, threads, _RESERVED * min(threads, cores), each)


def _spread(room: Sequence[int], workers: int) -> list[int]:
    """Returns how many workers each machine gets, as Ray places them: one after the other, where there is room."""
    counts = [0] * len(room)
    while sum(counts) < workers:
        for i, most in enumerate(room):
            if counts[i] < most and sum(counts) < workers:
                counts[i] += 1
    return counts


def layout(ray: ModuleType, workers: int, gpus_per_worker: float | None) -> Layout:
    """Divides the cluster that is joined; see `divide`."""
    return divide([node["Resources"] for node in ray.nodes() if node["Alive"]], workers, gpus_per_worker)


def run(ray: ModuleType, job: Job, parts: Sequence[int], chosen: Layout) -> Iterator[dict[str, Any]]:
    """Yields the answer of a worker for each part, as they come; see `Worker`.

    Raises:
      UserError: if the cluster fails.
    """
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    # Ray restarts a worker of a lost machine on another one, and gives it the same part again, however often.
    answers = ray.data.from_items([{"part": part} for part in parts], override_num_blocks=len(parts)).map(
        Worker,
        fn_constructor_args=(job,),
        compute=ray.data.ActorPoolStrategy(size=chosen.workers, max_tasks_in_flight_per_actor=_QUEUED),
        num_cpus=chosen.cpus,
        num_gpus=chosen.gpus,
    )
    try:
        yield from answers.iter_rows()
    except ray.exceptions.RayTaskError:  # a bug of ours
        raise
    except ray.exceptions.RayError as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"The cluster failed: {reason} Start the same command again; it does only what is missing."
        ) from error
