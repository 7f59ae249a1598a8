"""A Ray cluster of several machines, each of which is processes of this one, and runs of the program on it."""
import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import warnings

from ornet_tf.bulk import cluster
from tests import source_tree

_SECONDS = 600  # then a test fails
_MEMORY = 80 * 2**20  # of each machine's object store, in bytes; Ray wants at least 75 MB


@contextlib.contextmanager
def started(machines):
    """Yields a cluster of machines with one core each; the first one is the head. All its processes end here."""
    os.environ["RAY_AUTH_MODE"] = "disabled"  # of this process, which may have imported Ray before, and of all machines
    cluster.import_ray()
    from ray.cluster_utils import Cluster

    handler = signal.getsignal(signal.SIGTERM)  # which Ray replaces
    options = {"num_cpus": 1, "object_store_memory": _MEMORY, "include_dashboard": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray leaves files and processes to the garbage collector
        started = Cluster(initialize_head=True, head_node_args=options)
        try:
            for _ in range(machines - 1):
                add(started)
            signal.signal(signal.SIGTERM, handler)
            yield started
        finally:
            started.shutdown()
            del os.environ["RAY_AUTH_MODE"]


@contextlib.contextmanager
def started_with_token(home):
    """Yields the address of a cluster of one machine that refuses who has not the token in the folder `home`."""
    token = home / ".ray" / "auth_token"
    token.parent.mkdir(parents=True)
    token.write_text("12ab" * 16)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}"]
    command += ["--num-cpus=1", "--include-dashboard=false", f"--object-store-memory={_MEMORY}"]
    environment = {**os.environ, "HOME": str(home), "RAY_AUTH_MODE": "token", "RAY_worker_niceness": "0"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as head:
        try:
            lines = []
            while "Ray runtime started" not in (lines or [""])[-1]:
                lines.append(head.stdout.readline())
                assert lines[-1], "".join(lines)
            yield f"127.0.0.1:{port}"
        finally:
            os.killpg(head.pid, signal.SIGKILL)  # a gentle end takes half a minute


def add(started):
    """Adds a machine."""
    return started.add_node(wait=True, num_cpus=1, object_store_memory=_MEMORY)


def start(export, images, output, *flags, prefix=()):
    """Starts the program; returns the process, whose output is a pipe of text."""
    command = [*prefix, sys.executable, *command_line(export, images, output, *flags)]
    return subprocess.Popen(
        command, cwd=source_tree.ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(os.environ)
    )


def command_line(export, images, output, *flags):
    """The arguments of Python that run the program."""
    return ["-m", "ornet_tf.localize_many", f"--export={export}", f"--input={images}", f"--output={output}", *flags]


def finish(process):
    """Waits for the program; returns its exit status and output."""
    text, _ = process.communicate(timeout=_SECONDS)
    return process.returncode, text


def shards(output):
    """The finished shards and when they were written."""
    return {path.name: path.stat().st_mtime_ns for path in pathlib.Path(output).glob("detections/*.parquet")}


def wait(condition, process):
    """Waits until a condition holds while the program runs, and returns its value."""
    end = time.monotonic() + _SECONDS
    while not (value := condition()):
        if process.poll() is not None or time.monotonic() > end:
            raise AssertionError(f"the program has ended: {process.communicate()[0]}")
        time.sleep(0.01)
    return value


def busy_machine(machines):
    """The first of some machines on which a worker localizes a part, or None."""
    return next((m for m in machines if any("submit" in title for title in _titles_of_workers(m))), None)


def wait_for_end_of_workers(started):
    """Waits until the workers of a program that was killed have noticed it and ended."""
    end = time.monotonic() + _SECONDS
    while any(_titles_of_workers(machine) for machine in started.list_all_nodes()):
        assert time.monotonic() < end, "a worker has not ended"
        time.sleep(0.01)


def kill(machine):
    """Ends the process that a machine consists of, without warning; its workers end as they notice."""
    os.kill(_process_of(machine), signal.SIGKILL)


def _process_of(machine):
    return machine.all_processes["raylet"][0].process.pid


def has_child(parent, name):
    """Whether a process has started another one whose command line holds a name."""
    return any(name in title for title in _titles_of_children(parent))


def _titles_of_workers(machine):
    return [title for title in _titles_of_children(_process_of(machine)) if "MapWorker" in title]


def _titles_of_children(parent):
    titles = []
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == parent:
                titles.append(path.with_name("cmdline").read_text().replace("\0", " "))
    return titles
