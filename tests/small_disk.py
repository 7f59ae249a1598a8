"""Runs a program twice on a small disk of its own: it fills the disk, and then finds it larger."""
from __future__ import annotations

import pathlib
import subprocess
import sys
from typing import NamedTuple

import pytest

from tests import source_tree

# The disk and all processes are gone when the first one ends.
_ON_ITS_OWN = ("unshare", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
_TWICE = """
set -u
mount -t tmpfs -o size=$1 tmpfs "$2" || exit 77
shift
disk=$1; shift
"$@"; echo "status $?"
find "$disk" -type f -size +0
mount -o remount,size=64m "$disk"
"$@"; echo "status $?"
cp -r "$disk" "$disk.saved"
"""


class Done(NamedTuple):
    """What both runs did.

    Attributes:
      first: the lines of the run that found too little space.
      first_status: its exit status.
      files: the files on the disk after it, except empty ones.
      second: the lines of the run on the larger disk.
      second_status: its exit status.
      saved: a copy of the folder after it.
    """

    first: list[str]
    first_status: int
    files: list[pathlib.Path]
    second: list[str]
    second_status: int
    saved: pathlib.Path


def run_twice(arguments: list[str], folder: pathlib.Path, size: str) -> Done:
    """Runs Python with some arguments while `folder` is a disk of this size, such as 96k, then of 64 MiB.

    Skips the test where the user may not mount a disk.
    """
    folder.mkdir()
    command = [*_ON_ITS_OWN, "sh", "-c", _TWICE, "sh", size, str(folder), sys.executable, *arguments]
    done = subprocess.run(
        command, cwd=source_tree.ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600,
        check=False,
    )  # fmt: skip
    if done.returncode == 77 or done.stdout.startswith("unshare: "):
        pytest.skip(f"makes a small disk, which this user may not do here: {done.stdout}")
    lines = done.stdout.splitlines()
    first, second = (number for number, line in enumerate(lines) if line.startswith("status "))
    files = 0
    while lines[first + 1 + files].startswith(f"{folder}/"):
        files += 1
    return Done(
        lines[:first], int(lines[first].split()[1]), [pathlib.Path(line) for line in lines[first + 1 :][:files]],
        lines[first + 1 + files : second], int(lines[second].split()[1]), folder.with_name(f"{folder.name}.saved"),
    )  # fmt: skip
