"""Finds the input: a list, a folder, a pattern or shards, and divides it into parts. TensorFlow is not imported."""
from __future__ import annotations

import codecs
import concurrent.futures
import hashlib
import os
import re
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

import pyarrow
from pyarrow import parquet

from ornet_tf import paths
from ornet_tf.bulk import locations
from ornet_tf.bulk.locations import Location
from ornet_tf.data import image_files
from ornet_tf.errors import UserError

IMAGES, PARQUET, WEBDATASET, TFRECORD = "images", "parquet", "webdataset", "tfrecord"
KINDS = {  # what the names of files look like
    IMAGES: re.compile(rf"({'|'.join(map(re.escape, image_files.SUFFIXES))})$", re.I),
    PARQUET: re.compile(r"\.(parquet|pq)$", re.I),
    WEBDATASET: re.compile(r"\.tar(\.gz)?$", re.I),
    TFRECORD: re.compile(r"(\.tfrecords?(\.gz)?|\.tfrecords?-\d+-of-\d+|-\d{5}-of-\d{5})$", re.I),
}
_LIST = re.compile(r"\.(txt|lst)$", re.I)
_THREADS = 16  # readers of footers; each mostly waits
_FOOTER_BYTES = 64 * 1024  # most footers are smaller
PARQUET_DAMAGE = (pyarrow.ArrowException, OSError, ValueError, KeyError)  # of a file in memory


class Part(NamedTuple):
    """A piece of the input that becomes one shard of the output.

    Attributes:
      path: the path or URI of a shard; "" if the part consists of image files, which rows.parquet lists.
      first: the first row group of a Parquet file; otherwise 0.
      groups: how many row groups of it; otherwise 0.
      rows: the number of rows, -1 if only reading a shard shows it.
    """

    path: str
    first: int = 0
    groups: int = 0
    rows: int = -1


class Input(NamedTuple):
    """What was found.

    Attributes:
      kind: one of `KINDS`.
      parts: all parts, in order.
      files: the paths or URIs of image files, in order; empty for shards.
      digest: of the names of image files, or of the names and sizes of shards; it changes with them.
    """

    kind: str
    parts: list[Part]
    files: list[str]
    digest: str


def find(text: str, part_size: int) -> Input:
    """Finds the input and divides it.

    Args:
      text: a folder, a file, a pattern with `*`, `?` or `**/`, or a list: a .txt file with a path or URI in each line.
      part_size: rows of a part: image files, or at least that many rows in whole row groups of one Parquet file. A
        shard of another kind is a part.

    Raises:
      UserError: if there is nothing to localize, the files are of several kinds, a line of a list is no path, or a
        Parquet file is damaged.
      OSError: if a folder, a list or a shard can't be read, or a store can't be reached.
    """
    place = locations.locate(text, "--input")
    if _LIST.search(place.path) and not locations.has_wildcard(place.path):
        names = _read_list(place)
        kind = _kind_of_list(names, text)
    else:
        names = [place.prefix + path for path in _find_files(place, text)]
        kind = _only_kind(names, text)
        names = [name for name in names if KINDS[kind].search(name)]
    if not names:
        raise UserError(f"--input: expected a path in each line of {text}, but it has none; name another list.")
    if kind == IMAGES:
        counts = [min(part_size, len(names) - start) for start in range(0, len(names), part_size)]
        return Input(kind, [Part("", rows=count) for count in counts], names, _digest(names))
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        found = list(pool.map(lambda name: _divide_shard(name, kind, part_size), names))
    parts = [part for of_shard, _ in found for part in of_shard]
    if not parts:
        raise UserError(f"--input: expected rows in {text}, but its files have none; name another place.")
    return Input(kind, parts, [], _digest([f"{name} {size}" for name, (_, size) in zip(names, found)]))


def _find_files(place: Location, text: str) -> list[str]:
    try:
        if locations.has_wildcard(place.path):
            return locations.match(place)
        if locations.sizes(place.system, [place.path]) != [-1]:
            return [place.path]
        return locations.list_folder(place)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"--input: expected a folder, a file or a pattern, but {text} is not there.") from None


def _read_list(place: Location) -> list[str]:
    """Returns the lines of a list, as absolute paths or URIs; relative ones are relative to the current folder."""
    with place.open() as file:
        content = file.read().removeprefix(codecs.BOM_UTF8)
    if b"\0" in content:
        line = content[: content.index(b"\0")].count(b"\n") + 1
        raise UserError(
            f"--input: expected UTF-8 text with a path in each line, but line {line} of {place.uri()} has a byte 0; "
            "save the list as UTF-8."
        )
    lines = [os.fsdecode(line.removesuffix(b"\r")) for line in content.split(b"\n")]
    known = {""}
    for number, line in enumerate(lines, 1):
        root = locations.root(line)
        if root not in known or (root and paths.readable(line) != line):  # it would end the run in the middle
            locations.locate(line, f"--input: line {number} of {place.uri()}")
            known.add(root)
    return [line if locations.root(line) else os.path.abspath(line) for line in lines if line.strip()]


def _kind_of_list(names: Sequence[str], text: str) -> str:
    """Returns the kind of shards if all files are such, or images if none is: a wrong file then costs its own row."""
    kinds = {kind: KINDS[kind] for kind in KINDS if kind != IMAGES}
    first = next(((kind, name) for name in names for kind in kinds if kinds[kind].search(name)), None)
    if not first:
        return IMAGES
    kind, shard = first
    other = next((name for name in names if not kinds[kind].search(name)), None)
    if other is not None:
        raise UserError(
            f"--input: expected images only or shards of one kind only in {text}, but it has {shard} and {other}; "
            "divide the list."
        )
    return kind


def _only_kind(names: Sequence[str], text: str) -> str:
    """Returns the kind of the files in a folder; other files beside images or shards are left out."""
    counts = {kind: sum(1 for name in names if pattern.search(name)) for kind, pattern in KINDS.items()}
    found = [kind for kind, count in counts.items() if count]
    if not found:
        raise UserError(
            f"--input: expected images ({', '.join(image_files.SUFFIXES)}), Parquet (.parquet), WebDataset (.tar) or "
            f"TFRecord files (.tfrecord) in {text}, but found none; name another place."
        )
    if len(found) > 1:
        listed = ", ".join(f"{counts[kind]} of {kind}" for kind in found)
        raise UserError(
            f"--input: expected files of one kind in {text}, but found {listed}; choose them by a pattern such as "
            "'photos/**/*.jpg'."
        )
    return found[0]


def _divide_shard(name: str, kind: str, part_size: int) -> tuple[list[Part], int]:
    """Returns the parts of a shard, and its size in bytes."""
    if paths.readable(name) != name:
        raise UserError(f"--input: expected shards with names in UTF-8, got {paths.readable(name)!r}; rename it.")
    place = locations.locate(name, "--input")
    size, = locations.sizes(place.system, [place.path])
    if size < 0:
        raise UserError(f"--input: expected the file {name}, but it is not there; remove it from the list.")
    if kind != PARQUET:
        return [Part(name)], size
    with place.open() as file:
        content = _read_footer(file)
    try:
        footer = parquet.read_metadata(pyarrow.BufferReader(content))
    except PARQUET_DAMAGE as error:
        reason = " ".join(str(error).split())
        raise UserError(f"--input: {name} is no readable Parquet file ({reason}); repair or leave it out.") from None
    parts, first, rows = [], 0, 0
    for group in range(footer.num_row_groups):
        rows += footer.row_group(group).num_rows
        if rows >= part_size or (rows and group == footer.num_row_groups - 1):
            parts.append(Part(name, first, group + 1 - first, rows))
            first, rows = group + 1, 0
    return parts, size


def _read_footer(file: BinaryIO) -> bytes:
    """Returns the end of a Parquet file. What then fails is damage; pyarrow's errors of reading look alike."""
    size = file.seek(0, os.SEEK_END)
    length = min(size, _FOOTER_BYTES)
    while True:
        file.seek(size - length)
        content = file.read(length)
        needed = int.from_bytes(content[-8:-4], "little") + 8
        if length >= min(needed, size) or not content.endswith(b"PAR1"):
            return content
        length = min(needed, size)


def _digest(lines: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(os.fsencode(line) + b"\0")
    return digest.hexdigest()
