"""The git commit of this code."""
from __future__ import annotations

import os
import subprocess


def commit() -> str:
    """Returns the commit of this code, with "-dirty" if the code was changed since, or "" outside of a checkout."""
    folder, name = os.path.split(os.path.abspath(__file__))

    def git(*arguments):
        command = ["git", "-C", folder, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", name)  # installed code may lie in the checkout of another project
        return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.SubprocessError):
        return ""
