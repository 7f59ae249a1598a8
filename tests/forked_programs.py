"""Runs several command lines of programs in one process that has imported TensorFlow: each in a fork of it.

  python -m tests.forked_programs '[["ornet_tf.train", "--help"]]'

Importing TensorFlow takes most of the time of a program that only answers a flag. Standard output gets one JSON
line per command line: [exit status, standard output and standard error together].
"""
from __future__ import annotations

import json
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[1]


def run(command_lines: list[list[str]]) -> list[tuple[int, str]]:
    """Returns the (exit status, output) of each command line, a module and its arguments."""
    command = [sys.executable, "-m", "tests.forked_programs", json.dumps(command_lines)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300)
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def _become(module: str, arguments: list[str], output) -> None:
    """Runs a program in this process and ends it."""
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    sys.argv = [module, *arguments]
    status = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except Exception:  # noqa: BLE001 - as Python ends a program
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def main() -> None:
    """Runs the command lines of the first argument."""
    for module, *arguments in json.loads(sys.argv[1]):
        with tempfile.TemporaryFile("w+") as output:
            child = os.fork()
            if not child:
                _become(module, arguments, output)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            output.seek(0)
            sys.stdout.write(json.dumps([status, output.read()]) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    # What all programs import, once.
    from ornet_tf import app, build, program  # noqa: F401
    from ornet_tf.training import phases  # noqa: F401

    main()
