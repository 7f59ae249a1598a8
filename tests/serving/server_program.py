"""The local server as a program of its own."""
import os
import subprocess
import sys

from tests import source_tree

_IMPATIENT = """
from absl import app
from serving import local_server
local_server._DRAIN_SECONDS = {seconds}
local_server._define_flags()
app.run(local_server.main)
"""


def start(*arguments, drain_seconds=None):
    """Starts the server for the model `ornet` and returns the process; its output is a pipe of text.

    Args:
      *arguments: more flags.
      drain_seconds: the time that requests have to finish after a signal; None for the server's own.
    """
    program = ["-m", "serving.local_server"]
    if drain_seconds is not None:
        program = ["-c", _IMPATIENT.format(seconds=drain_seconds)]
    command = [sys.executable, *program, "--model_name=ornet", *arguments]
    return subprocess.Popen(
        command, cwd=source_tree.ROOT, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def model_url(process):
    """Waits until a started server is ready and returns its model's URL; fails with its output if it ends before."""
    lines = []
    while not lines or "Serving " not in lines[-1]:
        lines.append(process.stdout.readline())
        assert lines[-1], "".join(lines)
    return lines[-1].split(" at ")[-1].strip()
