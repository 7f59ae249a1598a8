"""Reads MATLAB files of version 5 (what `save` writes up to -v7): numbers, texts, cells and structs.

The format is MathWorks' "MAT-File Format": a header of 128 bytes, then elements of a type, a size and their data, which
is padded to 8 bytes; elements of up to 4 bytes are packed together with their type; a variable may be compressed as a
whole. Only what lists and tables of data sets need is read: no sparse matrices, objects or functions.
"""
from __future__ import annotations

import itertools
import pathlib
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from ornet_tf.errors import UserError

_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_ENCODINGS = {1: "utf-8", 2: "utf-8", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_CELL, _STRUCT, _CHAR = 1, 2, 4
_NUMERIC = range(6, 16)
# What a truncated, overwritten or foreign file makes of reading it.
_UNREADABLE = (struct.error, zlib.error, ValueError, IndexError, KeyError)


def read(path: pathlib.Path) -> dict[str, Any]:
    """Returns the variables of a file by name.

    Numbers are arrays, in MATLAB's order and shape; a row of characters is a str; a cell array is a list, and a struct
    array a list of dict, both in MATLAB's order (down the columns); what is of another kind is None.

    Raises:
      FileNotFoundError: if the file is missing.
      UserError: if it is not a MATLAB file of version 5.
    """
    data = path.read_bytes()
    if data.startswith(b"MATLAB 7.3"):
        raise UserError(f"{path}: expected a MATLAB file of version 5, got one of 7.3; save it anew with `save -v7`.")
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None:
        raise UserError(f"{path}: expected a MATLAB file of version 5, got something else.")
    try:
        return dict(_variable(payload, order) for kind, payload in _elements(data[128:], order) if kind == _MATRIX)
    except _UNREADABLE as error:
        raise UserError(f"{path}: expected a MATLAB file of version 5, but it is damaged: {error}.") from None


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Yields (type, data) of the elements one after the other, compressed ones unpacked."""
    at = 0
    while at < len(data):
        kind, size = struct.unpack_from(f"{order}II", data, at)
        start, end = at + 8, at + 8 + size
        if kind >> 16:  # a small element: its size and type share four bytes, its data follows at once
            start, end, kind = at + 4, at + 4 + (kind >> 16), kind & 0xFFFF
            size = 0
        if end > len(data):
            raise ValueError(f"{end - len(data)} bytes are missing")
        payload = data[start:end]
        if kind == _COMPRESSED:
            yield from _elements(zlib.decompress(payload), order)
            at = end
        else:
            yield kind, payload
            at += 8 + size + -size % 8


def _take(elements: Iterator[tuple[int, bytes]], count: int) -> list[tuple[int, bytes]]:
    taken = list(itertools.islice(elements, count))
    if len(taken) < count:
        raise ValueError("an element is missing")
    return taken


def _variable(payload: bytes, order: str) -> tuple[str, Any]:
    """Returns name and value of a matrix."""
    if not payload:
        return "", None
    elements = _elements(payload, order)
    (_, flags), (_, dimensions), (_, name) = _take(elements, 3)
    kind = struct.unpack_from(f"{order}I", flags)[0] & 0xFF
    shape = np.frombuffer(dimensions, f"{order}i4")
    value: Any = None
    if kind == _CELL:
        value = [_variable(part, order)[1] for _, part in elements]
    elif kind == _STRUCT:
        value = _structs(elements, order)
    elif kind == _CHAR:
        value = _text(elements, order) if shape[0] <= 1 else None
    elif kind in _NUMERIC:
        ((stored, numbers),) = _take(elements, 1)
        value = np.frombuffer(numbers, order + _NUMBERS[stored]).reshape(shape, order="F")
    return name.decode("ascii"), value


def _structs(elements: Iterator[tuple[int, bytes]], order: str) -> list[dict[str, Any]]:
    (_, length), (_, packed) = _take(elements, 2)
    size = struct.unpack_from(f"{order}i", length)[0]
    names = [packed[at : at + size].split(b"\0")[0].decode("ascii") for at in range(0, len(packed), size)]
    values = [_variable(part, order)[1] for _, part in elements]
    return [dict(zip(names, values[at : at + len(names)])) for at in range(0, len(values), max(len(names), 1))]


def _text(elements: Iterator[tuple[int, bytes]], order: str) -> str:
    stored, characters = next(elements, (16, b""))
    encoding = _ENCODINGS[stored]
    if encoding != "utf-8":
        encoding += "-le" if order == "<" else "-be"
    return characters.decode(encoding)
