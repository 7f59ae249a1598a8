"""Finds image files in folders, for data sets and for prediction. It does not import TensorFlow."""
from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from typing import NamedTuple

from absl import logging

SUFFIXES = (".jpg", ".jpeg", ".png")  # in lower or upper case
# Folders that operating systems make among a user's files: thumbnails (Synology, macOS archives), recycle bins,
# snapshots. A thumbnail of a test image must not be trained on.
_SYSTEM_FOLDERS = frozenset(
    ("@eadir", "@tmp", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "__macosx", "$recycle.bin",
     "system volume information", "lost+found")
)  # fmt: skip


class Listing(NamedTuple):
    """The names of the entries of one folder, sorted.

    Attributes:
      folders: folders and links to folders, without those that are skipped.
      images: files with one of `SUFFIXES`.
      others: other files that are not hidden.
      skipped: hidden images and folders, folders of operating systems, links to these, and entries that are neither
        file nor folder, such as pipes and broken links.
    """

    folders: list[str]
    images: list[str]
    others: list[str]
    skipped: list[str]


class Tree(NamedTuple):
    """The paths of the entries below a folder, relative to it, with slashes, sorted.

    Attributes:
      images: see `Listing`.
      others: see `Listing`.
      skipped: see `Listing`; also folders that are in the tree under another name.
      unreadable: the folders that can't be read, each with the reason.
    """

    images: list[str]
    others: list[str]
    skipped: list[str]
    unreadable: list[tuple[str, str]]


def scan(folder: str | os.PathLike) -> Listing:
    """Returns the entries of a folder.

    Raises:
      OSError: if the folder can't be read.
    """
    listing = Listing([], [], [], [])
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: _sort_key(entry.name)):
            is_hidden, is_image = entry.name.startswith("."), entry.name.lower().endswith(SUFFIXES)
            if _returns_true(entry.is_dir):
                names = listing.skipped if is_hidden or _is_system_folder(entry) else listing.folders
            elif is_hidden and not is_image:
                continue
            elif is_hidden or not _returns_true(entry.is_file):
                names = listing.skipped
            else:
                names = listing.images if is_image else listing.others
            names.append(entry.name)
    return listing


def find(
    folder: str | os.PathLike, *, depth: int | None = None, enters: Callable[[str], bool] | None = None
) -> Tree:
    """Returns the image files below a folder, and logs how many files and folders were skipped.

    Hidden files and folders (their names start with a dot) and folders of operating systems are skipped; `folder`
    itself may have any name. Links are followed. A folder that several links lead to is searched once, under the first
    of its names. A folder that can't be read does not stop the search.

    Args:
      folder: the folder to search.
      depth: how many levels of subfolders to search; None for all.
      enters: says whether to search a folder, given its path relative to `folder`, with slashes; None for all.

    Returns:
      Paths sorted by their form with composed characters (NFC): the order is the same on all file systems.

    Raises:
      OSError: if `folder` itself can't be read.
    """
    tree = Tree([], [], [], [])
    searched = set()
    stack = [("", os.path.realpath(folder))]  # (path below `folder`, real path) of the folders to search
    while stack:
        below, real = stack.pop()
        # The real path could be read even if `path` has more links than the system allows, but the images in it could
        # not be opened by their paths.
        path = os.path.join(folder, below) if below else folder
        if below and os.path.islink(path):
            real = os.path.realpath(path)
        if real in searched:
            tree.skipped.append(below)
            continue
        searched.add(real)
        try:
            listing = scan(path)
        except OSError as error:
            if not below:
                raise
            tree.unreadable.append((below, error.strerror or str(error)))
            continue
        prefix = f"{below}/" if below else ""
        for paths, names in zip(tree, (listing.images, listing.others, listing.skipped)):
            paths += [prefix + name for name in names]
        if depth is None or prefix.count("/") < depth:
            names = [name for name in reversed(listing.folders) if enters is None or enters(prefix + name)]
            stack += [(prefix + name, os.path.join(real, name)) for name in names]
    for paths in tree[:3]:
        paths.sort(key=_sort_key)
    tree.unreadable.sort(key=lambda pair: _sort_key(pair[0]))
    if tree.skipped:
        logging.info(
            "%s: skipped %d hidden images and folders, folders of operating systems, folders found under another name, "
            "pipes and broken links, such as %r.", folder, len(tree.skipped), tree.skipped[0],
        )
    return tree


def is_skipped(path: str) -> bool:
    """Returns whether `find` would skip a file, given its path relative to the folder, with slashes."""
    *folders, name = path.split("/")
    return any(part.startswith(".") for part in (*folders, name)) or any(n.lower() in _SYSTEM_FOLDERS for n in folders)


def _is_system_folder(entry: os.DirEntry) -> bool:
    """Returns whether a folder, or the target of a link, has one of the names that operating systems use."""
    names = [entry.name]
    if entry.is_symlink():
        names.append(os.path.basename(os.path.realpath(entry.path)))
    return any(name.lower() in _SYSTEM_FOLDERS for name in names)


def _sort_key(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _returns_true(method: Callable[[], bool]) -> bool:
    """Returns the result of `is_dir` or `is_file` of an entry; False for a link to itself, where they fail."""
    try:
        return method()
    except OSError:
        return False
