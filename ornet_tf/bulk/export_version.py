"""Which model answers: the version of an export, as a name that changes with its files, and which files it reads."""
from __future__ import annotations

import hashlib
import json
import os
import pathlib

from ornet_tf.data import MAX_BYTES

_DIGITS = 12


def read(folder: str | os.PathLike) -> str:
    """Returns NAME@DIGEST: the name of the version's folder, and 12 hex digits of the SHA-256 of all its files.

    Raises:
      OSError: if there is no export, or a file can't be read.
    """
    folder = pathlib.Path(folder)
    if not (folder / "saved_model.pb").is_file():
        raise FileNotFoundError(f"expected an export in {folder}, but it has no saved_model.pb")
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\n{path.stat().st_size}\n".encode())
        with open(path, "rb") as file:
            while block := file.read(2**22):
                digest.update(block)
    return f"{folder.name}@{digest.hexdigest()[:_DIGITS]}"


def max_bytes(folder: str | os.PathLike) -> int:
    """Returns the size in bytes of the largest image file that an export reads, as its provenance says."""
    try:
        provenance = json.loads((pathlib.Path(folder) / "assets" / "provenance.json").read_bytes())
        return int(provenance["config"]["export"]["max_bytes"])
    except (OSError, ValueError, LookupError, TypeError):  # an older export, or one of another program
        return MAX_BYTES
