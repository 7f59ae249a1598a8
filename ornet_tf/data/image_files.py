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
      passed_over: hidden images and folders, folders of systems, links to these, and what is neither a file nor a
        folder, such as pipes and links that lead nowhere.
    """

    folders: list[str]
    images: list[str]
    others: list[str]
    passed_over: list[str]


class Found(NamedTuple):
    """What is below a folder, by path below it with slashes, each in a stable order; see `Listing`.

    Attributes:
      images: see `Listing`.
      others: see `Listing`.
      passed_over: also folders that were found before, under another name.
      unreadable: the folders that can't be read, each with a reason; what is in them is not known.
    """

    images: list[str]
    others: list[str]
    passed_over: list[str]
    unreadable: list[tuple[str, str]]


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
                is_hidden = is_hidden or _is_of_system(entry)
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

    Hidden files and folders (their name starts with a dot) and folders of systems are passed over. Links are followed.
    A folder that several links lead to is looked into once, under the first of its names. The folder itself may have
    any name. A folder below that can't be read costs what is in it alone.

    Args:
      folder: where to look.
      depth: in how many levels of folders below; None for all.

    Returns:
      Paths in the order of their form with composed characters, which is the same on all file systems.

    Raises:
      OSError: if the folder itself can't be read.
    """
    found = Found([], [], [], [])
    seen = set()
    waiting = [("", os.path.realpath(folder))]  # paths below the folder, and what they are without links; the next last
    while waiting:
        below, real = waiting.pop()
        # Not the path without links: where that of the image has more of them than the system takes, neither is found.
        path = os.path.join(folder, below) if below else folder
        if below and os.path.islink(path):
            real = os.path.realpath(path)
        if real in seen:
            found.passed_over.append(below)
            continue
        seen.add(real)
        try:
            listing = scan(path)
        except OSError as error:
            if not below:
                raise
            found.unreadable.append((below, error.strerror or str(error)))
            continue
        prefix = f"{below}/" if below else ""
        for names, more in zip(found, (listing.images, listing.others, listing.passed_over)):
            names += [prefix + name for name in more]
        if depth is None or prefix.count("/") < depth:
            waiting += [(prefix + name, os.path.join(real, name)) for name in reversed(listing.folders)]
    for names in found[:3]:
        names.sort(key=_key)
    found.unreadable.sort(key=lambda pair: _key(pair[0]))
    if found.passed_over:
        logging.info(
            "%s: passed over %d hidden images and folders, folders of systems, folders found before under another name "
            "and what is neither a file nor a folder (pipes, links that lead nowhere), such as %r.",
            folder, len(found.passed_over), found.passed_over[0],
        )
    return found


def _is_of_system(entry: os.DirEntry) -> bool:
    """Returns whether a folder, or the one that a link leads to, has a name that systems give."""
    names = [entry.name]
    if entry.is_symlink():
        names.append(os.path.basename(os.path.realpath(entry.path)))
    return any(name.lower() in _OF_SYSTEMS for name in names)


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _is(question) -> bool:
    """Returns what `is_dir` or `is_file` of an entry answers; False for a link to itself, which is an error there."""
    try:
        return question()
    except OSError:
        return False
