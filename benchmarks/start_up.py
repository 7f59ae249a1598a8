"""Times what programs answer without work: `--help` and a wrong flag, against starting Python and importing TensorFlow.

  python -m benchmarks.start_up

Each figure is the median of `--rounds` runs; in a round each command runs once. CPU time is that of all cores together.
"""
from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

from absl import app, flags

_ROUNDS = flags.DEFINE_integer("rounds", 3, "runs of each command", lower_bound=1)
_PROGRAMS = (
    *(f"ornet_tf.{name}" for name in ("train", "evaluate", "predict", "export", "weights", "demo", "reproduce")),
    *("ornet_tf.check_data", "ornet_tf.datasets", "serving.client", "serving.local_server"),
)
_COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import tensorflow": ["-c", "import tensorflow"],
    **{f"{name} {flag}": ["-m", name, flag] for name in _PROGRAMS for flag in ("--help", "--wrong=1")},
}


def _run(arguments: list[str]) -> tuple[float, float]:
    """Returns the seconds of CPU time and of wall time of Python with these arguments."""
    used, started = os.times(), time.perf_counter()
    subprocess.run([sys.executable, *arguments], capture_output=True, check=False)
    wall, now = time.perf_counter() - started, os.times()
    return now.children_user + now.children_system - used.children_user - used.children_system, wall


def main(_) -> None:
    """Prints a row for each command."""
    rounds = [{name: _run(arguments) for name, arguments in _COMMANDS.items()} for _ in range(_ROUNDS.value)]
    print("| command | CPU, s | wall, s | CPU / import tensorflow |\n|---|---|---|---|")
    cpu, wall = ({name: statistics.median(r[name][side] for r in rounds) for name in _COMMANDS} for side in (0, 1))
    for name in _COMMANDS:
        print(f"| {name} | {cpu[name]:.2f} | {wall[name]:.2f} | {cpu[name] / cpu['import tensorflow']:.2f} |")


if __name__ == "__main__":
    app.run(main)
