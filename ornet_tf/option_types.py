"""Checks the types of option values against annotations and default values."""
from __future__ import annotations

import collections.abc
import inspect
import numbers
import os
import types
import typing
from collections.abc import Callable
from typing import Any

_WORDS = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a string",
    os.PathLike: "a path",
    type(None): "None",
    collections.abc.Sequence: "a list or tuple",
    collections.abc.Mapping: "a dictionary",
}


def parameter_types(function: Callable[..., Any]) -> dict[str, Any]:
    """Returns the annotations of the parameters of a function, or of a class's constructor, by name."""
    function = function.__init__ if inspect.isclass(function) else function
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError):  # a user's plug-in that imports a name for type checkers only
        return {}


def describe_mismatch(value: Any, annotation: Any) -> str:
    """Returns what was expected instead of a value, such as "a number or None".

    Args:
      value: the value of an option.
      annotation: a type such as `float | None`, or a default value, whose type is then expected.

    Returns:
      "" if the value fits or the annotation is of an unknown type.
    """
    if not isinstance(annotation, type) and not typing.get_origin(annotation):
        annotation = type(annotation)
    is_union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    kinds = [_kind(member) for member in (typing.get_args(annotation) if is_union else [annotation])]
    if None in kinds or any(_fits(value, kind) for kind in kinds):
        return ""
    return " or ".join(dict.fromkeys(_WORDS[kind] for kind in kinds))


def _kind(annotation: Any) -> Any:
    """Returns the key of `_WORDS` that a type belongs to, or None."""
    origin = typing.get_origin(annotation) or annotation
    if origin in _WORDS:
        return origin
    if not isinstance(origin, type):
        return None
    if issubclass(origin, (list, tuple)):
        return collections.abc.Sequence
    return collections.abc.Mapping if hasattr(origin, "keys") else None


def _fits(value: Any, kind: Any) -> bool:
    is_bool = isinstance(value, bool)
    if kind is int:
        return isinstance(value, numbers.Integral) and not is_bool
    if kind is float:
        return isinstance(value, numbers.Real) and not is_bool
    if kind is collections.abc.Sequence:
        return isinstance(value, (list, tuple))
    if kind is collections.abc.Mapping:  # ml_collections' dictionaries are no Mapping
        return hasattr(value, "keys")
    return isinstance(value, kind)
