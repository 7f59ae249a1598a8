"""The JSON dialect of TensorFlow Serving's REST API: what it reads beyond RFC 8259, and how it echoes values."""
from __future__ import annotations

import json
import re
from typing import Any

from serving.errors import echo, invalid

_BLANKS = " \t\n\r"
# A string literal, or an infinity: matching strings first leaves what is inside them untouched. One that does not end
# is matched as well, or the search would begin again at each of the quotes in it.
_STRING_OR_INFINITY = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|\bInf\b', re.DOTALL)
_DUMP_LENGTH = 256


def _first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        result = {}
        for key, value in pairs:
            result.setdefault(key, value)
    return result


_DECODER = json.JSONDecoder(object_pairs_hook=_first_wins)


def parse(body: bytes) -> Any:
    """Returns the first JSON value of `body`.

    Beyond the standard: text after the value is ignored; NaN, Inf, Infinity and their negatives are numbers; the first
    of duplicate keys wins; bytes that are not UTF-8 are kept, as surrogate escapes that `to_bytes` turns back.

    Raises:
      RequestError: INVALID_ARGUMENT if there is no JSON value at the start of `body`.
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    text = body.decode("utf-8", "surrogateescape")
    start = 1 if text.startswith("\ufeff") else 0
    while start < len(text) and text[start] in _BLANKS:
        start += 1
    if start == len(text):
        raise invalid(f"JSON Parse error: The document is empty. at offset: {start}")
    try:
        return _decode(text, start)
    except json.JSONDecodeError as error:
        offset = len(error.doc[: error.pos].encode("utf-8", "surrogateescape"))
        raise invalid(f"JSON Parse error: {error.msg} at offset: {offset}") from None
    except RecursionError:
        raise invalid(f"JSON Parse error: Values are nested too deeply at offset: {start}") from None
    except ValueError as error:
        # An integer of more digits than int() converts.
        raise invalid(f"JSON Parse error: {error} at offset: {start}") from None


def _decode(text: str, start: int) -> Any:
    try:
        return _DECODER.raw_decode(text, start)[0]
    except json.JSONDecodeError:
        if "Inf" not in text:
            raise
    # The standard library knows only the long spelling.
    text = _STRING_OR_INFINITY.sub(lambda m: "Infinity" if m.group() == "Inf" else m.group(), text)
    return _DECODER.raw_decode(text, start)[0]


def to_bytes(text: str) -> bytes:
    """Returns the bytes that `parse` read as `text`.

    Raises:
      RequestError: INVALID_ARGUMENT if an escape stands for one half of a surrogate pair.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise invalid("JSON Parse error: The surrogate pair in string is invalid.") from None


def dump(value: Any) -> str:
    """Returns `value` as indented JSON for an error message, cut between two tokens once 256 characters are written.

    A long string is cut, too. TensorFlow Serving writes it whole: its messages may hold all of a caller's picture.
    """
    parts = []
    length = 0
    for part in json.JSONEncoder(indent=4, ensure_ascii=False).iterencode(value):
        parts.append(echo(part))
        length += len(part)
        if length >= _DUMP_LENGTH:
            break
    return "".join(parts)


def type_name(value: Any) -> str:
    """Returns the kind of a parsed JSON value as TensorFlow Serving's messages name it."""
    if value is None:
        return "Null"
    return {bool: str(value), dict: "Object", list: "Array", str: "String"}.get(type(value), "Number")
