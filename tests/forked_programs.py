"""Runs programs in forks of one process that has imported TensorFlow.

  python -m tests.forked_programs

Importing TensorFlow takes most of the time of a short program. The process reads a JSON line for each program: its
arguments and its environment. Standard output gets a JSON line: [exit status, standard output and standard error
together].
"""
from __future__ import annotations

import atexit
import functools
import json
import os
import pathlib
import runpy
import signal
import subprocess
import sys
import tempfile
import textwrap
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[1]
_SECONDS = 300  # then a program is ended


def run(command_lines: list[list[str]]) -> list[tuple[int, str]]:
    """Returns the (exit status, output) of each command line, a module and its arguments."""
    return [_run_one(command_line) for command_line in command_lines]


def run_source(source: str, *arguments: str) -> tuple[int, str]:
    """Returns the (exit status, output) of a program that is given as text."""
    return _run_one(["-c", textwrap.dedent(source), *arguments])


def _run_one(command_line: list[str]) -> tuple[int, str]:
    starter = _starter()
    starter.stdin.write(json.dumps([command_line, dict(os.environ)]) + "\n")
    starter.stdin.flush()
    return tuple(json.loads(starter.stdout.readline()))


@functools.cache
def _starter() -> subprocess.Popen:
    """Returns the process that starts programs, one for all tests of this process."""
    command = [sys.executable, "-m", "tests.forked_programs"]
    starter = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(starter.communicate)  # without further programs it ends
    return starter


def _become(module: str, arguments: list[str], environment: dict[str, str], output) -> None:
    """Runs a program in this process and ends it."""
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    os.environ.clear()
    os.environ.update(environment)
    signal.alarm(_SECONDS)
    status = 0
    try:
        if module == "-c":
            source, *arguments = arguments
            sys.argv = ["-c", *arguments]
            exec(compile(source, "<string>", "exec"), {"__name__": "__main__"})
        else:
            sys.argv = [module, *arguments]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if isinstance(ended.code, str):
            sys.stderr.write(f"{ended.code}\n")
    except Exception:  # noqa: BLE001 - as Python ends a program
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def main() -> None:
    """Runs the programs of standard input."""
    for line in sys.stdin:
        (module, *arguments), environment = json.loads(line)
        with tempfile.TemporaryFile("w+") as output:
            child = os.fork()
            if not child:
                _become(module, arguments, environment, output)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            output.seek(0)
            sys.stdout.write(json.dumps([status, output.read()]) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    # What most programs import, once.
    from ornet_tf import app, build, program  # noqa: F401
    from ornet_tf.inference import prediction  # noqa: F401
    from ornet_tf.training import phases  # noqa: F401

    main()
