"""Finds plug-ins by family (a folder of this package) and file name, and checks their options.

Each family has one entry point: the name that each of its files must define. To add a plug-in, add a file.
"""
from __future__ import annotations

import difflib
import importlib
import inspect
import pathlib
import pkgutil
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from ornet_tf import option_types, renamed
from ornet_tf.errors import UserError

ENTRY_POINTS = {
    "datasets": "load",
    "backbones": "build",
    "methods": "Method",
    "losses": "loss",
    "erasing": "erase",
    "metrics": "Metric",
    "studies": "Study",
    "formats": "write",
}


def choices(family: str) -> list[str]:
    """Returns the sorted names of the plug-ins of a family.

    Raises:
      KeyError: if there is no such family.
    """
    ENTRY_POINTS[family]
    folder = pathlib.Path(__file__).parent / family
    return sorted(module.name for module in pkgutil.iter_modules([str(folder)]) if not module.name.startswith("_"))


def did_you_mean(name: Any, known: Iterable[str]) -> str:
    """Returns the last sentence of an error about an unknown name: its new name, the nearest known name, or ""."""
    known = list(known)
    if hint := renamed.hint(name, known):
        return hint
    near = difflib.get_close_matches(str(name), known, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def find(family: str, name: str, *, where: str = "") -> Callable[..., Any]:
    """Returns the entry point of `ornet_tf/<family>/<name>.py`.

    Args:
      family: a key of `ENTRY_POINTS`.
      name: the file name without its suffix.
      where: the config path that holds the name, for error messages.

    Raises:
      UserError: if there is no such plug-in; the message lists the choices.
    """
    known = choices(family)
    if name not in known:
        hint = did_you_mean(name, known)
        raise UserError(f"{where or family}: no plug-in {name!r} in {family}; choose one of {', '.join(known)}.{hint}")
    module = importlib.import_module(f"{__package__}.{family}.{name}")
    return getattr(module, ENTRY_POINTS[family])


def check_options(
    entry: Callable[..., Any], options: Mapping[str, Any], *, where: str, given: Collection[str] = ()
) -> None:
    """Checks options against the keyword-only parameters of a plug-in.

    Args:
      entry: the plug-in.
      options: the options to check.
      where: the config path of the options, for error messages.
      given: parameters that the program sets itself; they are not options.

    Raises:
      UserError: for an unknown option, a value of another type than the annotation, or a missing required option.
    """
    parameters = inspect.signature(entry).parameters
    allowed = {n: p for n, p in parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY and n not in given}
    for key in options:
        if key not in allowed:
            hint = did_you_mean(key, allowed)
            raise UserError(f"{where}.{key}: unknown option; choose from {', '.join(allowed) or 'none'}.{hint}")
    annotations = option_types.parameter_types(entry)
    for key in set(options) & set(annotations):
        expected = option_types.describe_mismatch(options[key], annotations[key])
        if expected:
            hint = renamed.value_hint(key, options[key])
            raise UserError(f"{where}.{key}: expected {expected}, got {options[key]!r}.{hint}")
    missing = [n for n, p in allowed.items() if p.default is inspect.Parameter.empty and n not in options]
    if missing:
        raise UserError(f"{where}: missing option {', '.join(missing)}; set {where}.{missing[0]}.")
