"""The commit that this code was taken from."""
from __future__ import annotations

import os
import subprocess


def commit() -> str:
    """Returns the commit of this code, with "-dirty" if it was changed since; empty where it is no checkout."""
    folder, name = os.path.split(os.path.abspath(__file__))

    def git(*arguments):
        command = ["git", "-C", folder, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", name)  # installed code can lie within the checkout of something else
        return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.SubprocessError):
        return ""
