"""The page on which a user reviews predictions: index.html beside the overlays, for a browser without a server.

It is review_page.html with the entries in it. It opens from the disk, where a page cannot read other files.
"""
from __future__ import annotations

import hashlib
import json
import os
import pathlib
import re
from collections.abc import Iterable

from ornet_tf import atomic_write

_TEMPLATE = pathlib.Path(__file__).with_name("review_page.html").read_bytes()
_MARK = _TEMPLATE[: _TEMPLATE.index(b"-->")]  # no other page begins with this
_NAME = re.compile(r"index(_\d+)?\.html")


def write(folder: str, lines: Iterable[bytes]) -> str:
    """Writes the page and returns its path: index.html, or index_2.html and so on if the user has a file of that name.

    Args:
      folder: the folder of the overlays.
      lines: the entries of predictions.json, a JSON object each. They are read one by one.

    Raises:
      OSError: if the page can't be written.
    """
    number, path = 1, os.path.join(folder, "index.html")
    while os.path.lexists(path):
        number += 1
        path = os.path.join(folder, f"index_{number}.html")
    before, rest = _TEMPLATE.split(b"{{entries}}")
    between, after = rest.split(b"{{run}}")
    digest = hashlib.sha256()
    with atomic_write.open_file(path) as page:
        page.write(before)
        for line in lines:
            entry = json.loads(line)
            entry["overlay"] = os.path.basename(entry["overlay"])
            digest.update(json.dumps(entry, sort_keys=True).encode())
            row = _row(entry)
            page.write(b"\n" + row + b",")
        page.write(between + digest.hexdigest()[:16].encode() + after)
    return path


def remove(folder: str) -> None:
    """Removes the page of an earlier run; pages of other programs remain."""
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if _NAME.fullmatch(name) and os.path.isfile(path):
            with open(path, "rb") as file:
                is_ours = file.read(len(_MARK)) == _MARK
            if is_ours:
                os.remove(path)


def _row(entry: dict) -> bytes:
    """Returns what the page shows of an entry, as JavaScript."""
    shown = ("file", "class_name", "predicted_class_name", "box_score", "score", "overlay")
    row = {key: entry[key] for key in shown if key in entry}
    if row.get("predicted_class_name") == row.get("class_name"):
        row.pop("predicted_class_name", None)
    if entry.get("box", True) is None:
        row["box_score"] = None
    # A name with </script> in it would end the script.
    return json.dumps(row, separators=(",", ":")).replace("<", "\\u003c").encode()
