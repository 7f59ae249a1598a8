"""Finds image files in folders: one walk for data sets and for prediction, so that both see the same. No TensorFlow."""
from __future__ import annotations

import os
import unicodedata
from typing import NamedTuple

from absl import logging

SUFFIXES = (".jpg", ".jpeg", ".png")  # of any case
# Folders that systems make beside a user's files: thumbnails (Synology, macOS archives), what was deleted, snapshots.
# A thumbnail of a test image must not be trained on.
_OF_SYSTEMS = frozenset(
    ("@eadir", "@tmp", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "__macosx", "$recycle.bin",
     "system volume information", "lost+found")
)  # fmt: skip


class Listing(NamedTuple):
    """What is directly in a folder, by name, each in a stable order.

    Attributes:
      folders: those to look into, links to folders among them.
      images: files with one of `SUFFIXES`.
      others: other files that are not hidden.
      passed_over: hidden images and folders, folders of systems, and links that lead nowhere.
    """

    folders: list[str]
    images: list[str]
    others: list[str]
    passed_over: list[str]


class Found(NamedTuple):
    """What is below a folder, by path below it with slashes, each in a stable order; see `Listing`."""

    images: list[str]
    others: list[str]
    passed_over: list[str]


def scan(folder: str | os.PathLike) -> Listing:
    """Returns what is directly in a folder.

    Raises:
      OSError: if the folder can't be read.
    """
    found = Listing([], [], [], [])
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: _key(entry.name)):
            is_hidden, is_image = entry.name.startswith("."), entry.name.lower().endswith(SUFFIXES)
            if _is(entry.is_dir):
                is_hidden = is_hidden or entry.name.lower() in _OF_SYSTEMS
                names = found.passed_over if is_hidden else found.folders
            elif is_hidden and not is_image:
                continue
            elif is_hidden or not _is(entry.is_file):
                names = found.passed_over
            else:
                names = found.images if is_image else found.others
            names.append(entry.name)
    return found


def find(folder: str | os.PathLike, *, depth: int | None = None) -> Found:
    """Returns the image files below a folder, and logs how many files and folders were passed over.

    Hidden files and folders (their name starts with a dot) and folders of systems are passed over. Links are followed,
    but for those to a folder that they lie in. The folder itself may have any name.

    Args:
      folder: where to look.
      depth: in how many levels of folders below; None for all.

    Returns:
      Paths in the order of their form with composed characters, which is the same on all file systems.

    Raises:
      OSError: if a folder can't be read.
    """
    found = Found([], [], [])
    _look(os.fspath(folder), "", depth, frozenset(), found)
    for names in found:
        names.sort(key=_key)
    if found.passed_over:
        logging.info(
            "%s: passed over %d hidden images and folders, folders of systems, and links that lead nowhere or round in "
            "circles, such as %r.", folder, len(found.passed_over), found.passed_over[0]
        )
    return found


def _look(folder: str, below: str, depth: int | None, above: frozenset[str], found: Found) -> None:
    """Adds what is in a folder; `above` are the real paths of the folders that it was reached through."""
    real = os.path.realpath(folder)
    if real in above:
        found.passed_over.append(below.rstrip("/"))
        return
    listing = scan(folder)
    for names, more in zip(found, (listing.images, listing.others, listing.passed_over)):
        names += [below + name for name in more]
    if depth != 0:
        for name in listing.folders:
            deeper = None if depth is None else depth - 1
            _look(os.path.join(folder, name), f"{below}{name}/", deeper, above | {real}, found)


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _is(question) -> bool:
    """Returns what `is_dir` or `is_file` of an entry answers; False for a link to itself, which is an error there."""
    try:
        return question()
    except OSError:
        return False
