"""The project's own files, as git knows them: what the tests about the source read."""
from __future__ import annotations

import ast
import functools
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]


@functools.cache
def paths() -> tuple[str, ...]:
    """Returns the files that are tracked or about to be, relative to `ROOT`, with forward slashes."""
    if not (ROOT / ".git").exists():
        pytest.skip("reads the list of files from git; this is no checkout", allow_module_level=True)
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
