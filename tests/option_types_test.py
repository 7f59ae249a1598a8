from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from ml_collections import ConfigDict

from ornet_tf import option_types


def options(tensor, *, flag: bool = True, count: int = 1, rate: float | None = None, path: str | os.PathLike = "",
            names: Sequence[str] | None = None, table: Mapping[str, str] = {}, free=None, other: np.ndarray = None):
    """Options that a plug-in may have."""


class Method:
    """A plug-in that is a class."""

    def __init__(self, builders, *, count: int = 1):
        """Takes an option."""


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("flag", True, ""),
        ("flag", 1, "True or False"),
        ("count", 3, ""),
        ("count", np.int64(3), ""),
        ("count", True, "a whole number"),
        ("count", 3.0, "a whole number"),
        ("rate", 3, ""),
        ("rate", np.float32(0.5), ""),
        ("rate", None, ""),
        ("rate", "0.5", "a number or None"),
        ("path", "a", ""),
        ("path", pathlib.Path("a"), ""),
        ("path", b"a", "a string or a path"),
        ("path", None, "a string or a path"),
        ("names", ("a",), ""),
        ("names", ["a"], ""),
        ("names", None, ""),
        ("names", "a", "a list or tuple or None"),
        ("table", {"a": "b"}, ""),
        ("table", ConfigDict({"a": "b"}), ""),
        ("table", [("a", "b")], "a dictionary"),
        ("other", 3, ""),  # not a type of an option
    ],
)
def test_a_value_is_checked_against_its_annotation(name, value, expected):
    assert option_types.describe_mismatch(value, option_types.parameter_types(options)[name]) == expected


def test_parameters_without_annotation_are_left_out_and_classes_use_their_constructor():
    assert "free" not in option_types.parameter_types(options)
    assert option_types.parameter_types(Method) == {"count": int}


@pytest.mark.parametrize(
    ("default", "value", "expected"),
    [
        (1, "1", "a whole number"),
        (1.0, 1, ""),
        (("a",), "a", "a list or tuple"),
        (("a",), ["b"], ""),
        (ConfigDict({"a": 1}), {"b": 2}, ""),
        (ConfigDict({"a": 1}), 2, "a dictionary"),
        ("a", None, "a string"),
        (False, 0, "True or False"),
    ],
)
def test_a_value_is_checked_against_a_default(default, value, expected):
    assert option_types.describe_mismatch(value, default) == expected
