"""What a process holds in memory, as Linux tells."""
from __future__ import annotations

import pathlib


def of_process(pid: int | str = "self") -> dict[str, int]:
    """Returns MiB: "VmRSS" is held now, of which "RssAnon" of its own and "RssFile" of files; "VmHWM" at most so far.

    Raises:
      OSError: if there is no such process.
    """
    lines = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return {name: int(fields[name].split()[0]) // 1024 for name in ("VmRSS", "VmHWM", "RssAnon", "RssFile")}
