"""Reads the memory of a process from Linux's /proc."""
from __future__ import annotations

import pathlib


def read_memory(pid: int | str = "self") -> dict[str, int]:
    """Returns the memory of a process in MiB.

    Returns:
      "VmRSS": resident memory now, of which "RssAnon" is anonymous and "RssFile" belongs to mapped files; "VmHWM": the
      peak of resident memory so far.

    Raises:
      OSError: if there is no such process.
    """
    lines = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return {name: int(fields[name].split()[0]) // 1024 for name in ("VmRSS", "VmHWM", "RssAnon", "RssFile")}
