"""Runs programs of the package for benchmarks that train."""
from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from typing import Any


def run(program: str, workdir: pathlib.Path, *options: str, **environment: str) -> float:
    """Runs `python -m ornet_tf.PROGRAM`. The workdir's log.txt gets what it prints. If it fails, this process ends too.

    Args:
      program: train, evaluate, export or check_data, which has no run.
      workdir: the folder of the run and of log.txt, which is made if it is missing.
      *options: further flags.
      **environment: further environment variables.

    Returns:
      The program's peak of resident memory in MiB.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", f"ornet_tf.{program}", *options]
    if program != "check_data":
        command.append(f"--workdir={workdir}")
    with open(workdir / "log.txt", "ab") as log:
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=log, stderr=log)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"The run failed:\n{(workdir / 'log.txt').read_text(encoding='utf-8')[-2000:]}")
    return used.ru_maxrss / 1024


def figures(workdir: pathlib.Path) -> dict[str, dict[str, Any]]:
    """Returns the result of the last evaluation: row -> title of a metric's table -> figures."""
    return json.loads((workdir / "evaluation" / "result.json").read_text(encoding="utf-8"))["rows"]
