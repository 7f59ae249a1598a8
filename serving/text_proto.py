"""Reads protocol buffers in text form: the part of that language that configuration files of TensorFlow Serving use.

Read here, and without their schemas, so that the local server needs no tensorflow-serving-api.
"""
from __future__ import annotations

import re
from collections.abc import Iterator

_TOKEN = re.compile(r"""\s+|\#[^\n]*|(?P<token>[A-Za-z_]\w*|-?\d+(?![\w.])|"[^"\\\n]*"|'[^'\\\n]*'|[{}:;,])""")
_DEEPEST = 100
_LARGEST = 2**63 - 1


class Message(dict):
    """The values of each field by its name, in a list: texts as they stand there, with quotes, or messages again."""

    def messages(self, name: str) -> list[Message]:
        """Returns the messages of a field; none where it is missing.

        Raises:
          ValueError: if it holds something else.
        """
        values = self.get(name, [])
        if any(isinstance(value, str) for value in values):
            raise ValueError(f"expected {name} {{ ... }}, found {name}: {values[0]!r}")
        return values

    def text(self, name: str) -> str:
        """Returns the one value of a field as it stands there: a number or a word.

        Raises:
          ValueError: if it is missing, stands there twice or is a message.
        """
        values = self.get(name, [])
        if len(values) != 1 or not isinstance(values[0], str):
            raise ValueError(f"expected one {name}, found {values}")
        return values[0]

    def string(self, name: str) -> str:
        """Returns what is between the quotes of the one value of a field.

        Raises:
          ValueError: if it has none, or as `text` does.
        """
        text = self.text(name)
        if text[0] not in "\"'":
            raise ValueError(f"expected {name} in quotes, found {text}")
        return text[1:-1]

    def integer(self, name: str) -> int:
        """Returns the one value of a field as a number that is not negative.

        Raises:
          ValueError: if it is none, or as `text` does.
        """
        return to_integer(name, self.text(name))


def to_integer(name: str, text: str) -> int:
    """Returns a value of the field `name` as a number that is not negative.

    Raises:
      ValueError: if it is none.
    """
    if not re.fullmatch("[0-9]{1,19}", text) or int(text) > _LARGEST:
        raise ValueError(f"expected a number for {name}, found {text!r}")
    return int(text)


def parse(text: str) -> Message:
    """Returns the message that a file's text stands for.

    Raises:
      ValueError: if it is not in that form.
    """
    return _message(_tokens(text), "", 0)


def _tokens(text: str) -> Iterator[str]:
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if not match:
            line = text.count("\n", 0, position) + 1
            raise ValueError(f"line {line} has {text[position]!r} where a name, a value or a bracket was expected")
        position = match.end()
        if match["token"]:
            yield match["token"]
    yield ""


def _message(tokens: Iterator[str], closing: str, depth: int) -> Message:
    """Returns the values of each field up to the token `closing`: "}", or "" for the end of the file."""
    if depth > _DEEPEST:
        raise ValueError(f"expected at most {_DEEPEST} messages inside each other, found more")
    fields = Message()
    while True:
        token = next(tokens)
        if token == closing:
            return fields
        if token in (";", ","):
            continue
        if not re.match("[A-Za-z_]", token):
            raise ValueError(f"expected the name of a field, found {token or 'end of file'!r}")
        value = next(tokens)
        if value == ":":
            value = next(tokens)
        if value in ("", "}", ":", ";", ","):
            raise ValueError(f"expected a value for {token}, found {value or 'end of file'!r}")
        fields.setdefault(token, []).append(_message(tokens, "}", depth + 1) if value == "{" else value)
