"""The files of the project, as listed by git, for tests about the source code."""
from __future__ import annotations

import ast
import functools
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]


@functools.cache
def paths() -> tuple[str, ...]:
    """Returns the tracked and new files, relative to `ROOT`, with forward slashes."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout for the list of files", allow_module_level=True)
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout.decode()
    return tuple(sorted({path for path in listed.split("\0") if path and (ROOT / path).is_file()}))


def modules(*folders: str) -> list[str]:
    """Returns the Python files anywhere in `folders`; without one, all of the project."""
    return [p for p in paths() if p.endswith(".py") and (not folders or p.split("/")[0] in folders)]


def text(path: str) -> str:
    """Returns the content of a text file."""
    return (ROOT / path).read_text(encoding="utf-8")


@functools.cache
def tree(path: str) -> ast.Module:
    """Returns the syntax tree of a Python file."""
    return ast.parse(text(path), filename=path)
