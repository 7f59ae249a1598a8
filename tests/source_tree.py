"""The project's files, as git lists them, for tests of the source code."""
from __future__ import annotations

import ast
import functools
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]


@functools.cache
def paths() -> tuple[str, ...]:
    """Returns the tracked files and the untracked ones that git does not ignore, relative to `ROOT`, with "/"."""
    if not (ROOT / ".git").exists():
        pytest.skip("reads the list of files from git; this is not a git checkout", allow_module_level=True)
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout.decode()
    return tuple(sorted({path for path in listed.split("\0") if path and (ROOT / path).is_file()}))


def modules(*folders: str) -> list[str]:
    """Returns the Python files in the top-level `folders` and below; without folders, all Python files."""
    return [p for p in paths() if p.endswith(".py") and (not folders or p.split("/")[0] in folders)]


def text(path: str) -> str:
    """Returns the content of a text file."""
    return (ROOT / path).read_text(encoding="utf-8")


@functools.cache
def tree(path: str) -> ast.Module:
    """Returns the syntax tree of a Python file."""
    return ast.parse(text(path), filename=path)
