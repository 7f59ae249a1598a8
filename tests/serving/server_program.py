"""The local server as a program of its own."""
import os
import subprocess
import sys

from tests import source_tree


def start(*arguments):
    """Starts the server for the model `ornet` and returns the process; its output is a pipe of text."""
    command = [sys.executable, "-m", "serving.local_server", "--model_name=ornet", *arguments]
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
