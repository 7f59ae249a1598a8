"""Reads which versions of a model are served, and their labels, from TensorFlow Serving's models.config.

The file is a protocol buffer in text form. The part of that language that such files use is read here, so that the
local server needs no tensorflow-serving-api.
"""
from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

_TOKEN = re.compile(r"""\s+|\#[^\n]*|(?P<token>[A-Za-z_]\w*|-?\d+|"[^"\\\n]*"|'[^'\\\n]*'|[{}:;,])""")
_Fields = dict[str, list[Any]]  # what a message holds: texts, and messages again
_KNOWN = {"name", "base_path", "model_platform", "model_version_policy", "version_labels"}


class Choice(NamedTuple):
    """Which of the versions on disk are served: those in `versions`, else the `latest` highest (None: all)."""

    versions: frozenset[int] = frozenset()
    latest: int | None = 1
    labels: Mapping[str, int] = {}

    def pick(self, found: set[int]) -> set[int]:
        """Returns the versions to serve among those that were found."""
        if self.versions:
            return found & self.versions
        return set(sorted(found, reverse=True)[: self.latest])


def read(path: str | os.PathLike, name: str) -> Choice:
    """Returns the choice that a models.config makes for a model. Its base_path and model_platform are not looked at.

    Raises:
      OSError: if the file can't be read.
      ValueError: if it isn't a models.config, or doesn't hold the model exactly once.
    """
    try:
        tree = _message(_tokens(pathlib.Path(path).read_text(encoding="utf-8")), "")
        configs = [config for models in _messages(tree, "model_config_list") for config in _messages(models, "config")]
        mine = [config for config in configs if config.get("name") == [name]]
        if len(mine) != 1:
            raise ValueError(f"expected one model_config_list.config with name {name!r}, found {len(mine)}")
        unknown = set(mine[0]) - _KNOWN
        if unknown:
            raise ValueError(f"expected {', '.join(sorted(_KNOWN))} in a config, found {', '.join(sorted(unknown))}")
        return _choice(mine[0])
    except OSError as error:
        raise type(error)(f"Cannot read {path}: {error.strerror}; is it the models.config?") from error
    except ValueError as error:
        raise ValueError(f"Cannot read {path} as a models.config: {error}.") from error


def _choice(config: _Fields) -> Choice:
    labels = {_value(label, "key"): _integer(label, "value") for label in _messages(config, "version_labels")}
    policies = _messages(config, "model_version_policy") or [{"latest": [{}]}]
    kinds = [kind for policy in policies for kind in policy]
    if len(kinds) != 1 or kinds[0] not in ("latest", "all", "specific"):
        raise ValueError(f"expected one of latest, all and specific in model_version_policy, found {kinds}")
    (options,) = _messages(policies[0], kinds[0])
    if kinds[0] == "all":
        return Choice(latest=None, labels=labels)
    if kinds[0] == "latest":
        count = _integer(options, "num_versions") if "num_versions" in options else 1
        return Choice(latest=max(1, count), labels=labels)  # TensorFlow Serving takes 0 for 1
    versions = frozenset(_integer({"versions": [value]}, "versions") for value in options.get("versions", ()))
    if not versions:
        raise ValueError("expected versions in specific, found none")
    return Choice(versions, None, labels)


def _messages(fields: _Fields, name: str) -> list[_Fields]:
    values = fields.get(name, [])
    if any(isinstance(value, str) for value in values):
        raise ValueError(f"expected {name} {{ ... }}, found {name}: {values[0]!r}")
    return values


def _value(fields: _Fields, name: str) -> str:
    values = fields.get(name, [])
    if len(values) != 1 or not isinstance(values[0], str):
        raise ValueError(f"expected one {name}, found {values}")
    return values[0]


def _integer(fields: _Fields, name: str) -> int:
    text = _value(fields, name)
    if not re.fullmatch("[0-9]{1,19}", text):
        raise ValueError(f"expected a number for {name}, found {text!r}")
    return int(text)


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


def _message(tokens: Iterator[str], closing: str) -> _Fields:
    """Returns the values of each field up to the token `closing`: "}", or "" for the end of the file."""
    fields: _Fields = {}
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
        fields.setdefault(token, []).append(_message(tokens, "}") if value == "{" else value.strip("\"'"))
