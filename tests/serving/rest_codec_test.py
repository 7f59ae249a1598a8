"""Types that only few exports have; the contract tests ask for the rest over HTTP."""
import json

import numpy as np
import pytest

from serving import rest_codec
from serving.errors import RequestError


def read(inputs, **kinds):
    tensors, _ = rest_codec.read_tensors({"inputs": inputs}, kinds)
    return next(iter(tensors.values()))


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("uint8", [0, 255], np.array([0, 255], np.uint8)),
        ("int64", [-(2**63), 2**63 - 1], np.array([-(2**63), 2**63 - 1], np.int64)),
        ("uint64", 2**64 - 1, np.array(2**64 - 1, np.uint64)),
        ("float32", [[1, 2.5]], np.array([[1, 2.5]], np.float32)),
        ("float64", [0.1], np.array([0.1])),
        ("bool", [True, False], np.array([True, False])),
        ("float32", [[], []], np.zeros([2, 0], np.float32)),
        ("float32", [1e39, float("nan")], np.array([np.inf, np.nan], np.float32)),
        ("string", ["ü", {"b64": "/w=="}, {"b64": "/ w\n"}], np.array(["ü".encode(), b"\xff", b"\xff"], object)),
    ],
)
def test_json_becomes_arrays(kind, value, expected):
    array = read({"x": value}, x=kind)
    assert array.dtype == expected.dtype
    np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("uint8", [256], r"Expected integers in 0..255 for the input 'x'\."),
        ("uint8", [1.0], "Expected values of type uint8 for the input 'x', but got a number"),
        ("bool", [1], "Expected values of type bool"),
        ("float32", [None], "but got null"),
        ("float32", [10**400], "The input 'x' cannot be read"),
        ("float32", [[1], [2, 3]], "Expected lists of the same size"),
        ("string", ["\ud800"], "Expected valid text"),
        ("string", [{"b64": "QQ==QQ"}], "Expected valid base64"),
        ("string", [{"b64": 3}], "but got an object"),
    ],
)
def test_values_that_do_not_fit_are_refused(kind, value, message):
    with pytest.raises(RequestError, match=f"INVALID_ARGUMENT: .*{message}"):
        read({"x": value}, x=kind)


def test_lists_nested_too_deeply_are_refused():
    nested = []
    for _ in range(100):
        nested = [nested]
    with pytest.raises(RequestError, match="The input 'x' cannot be read"):
        read({"x": nested}, x="float32")
    with pytest.raises(RequestError, match="JSON Parse error"):
        rest_codec.parse(b"[" * 10**6)


def test_types_that_json_cannot_hold_are_refused():
    with pytest.raises(RequestError, match="UNIMPLEMENTED: .*complex64, which JSON cannot hold"):
        read({"x": [1]}, x="complex64")


def test_arrays_become_json_of_the_same_value():
    tensors = {
        "x": np.array([0.1, 1e-7, 16777216, np.nan, np.inf], np.float32),
        "double": np.array([0.1, 1 / 3, -np.inf, 0, 1]),
        "whole": np.array([1, 2**63 - 1, 0, 0, -1]),
        "text": np.array([b"\xff", "ü".encode(), b"", b"", b""], object),
    }
    body = rest_codec.write_tensors(tensors, row=False)
    outputs = json.loads(body)["outputs"]
    assert str(outputs["x"]) == "[0.1, 1e-07, 16777216.0, nan, inf]"
    for name in ("x", "double", "whole"):
        np.testing.assert_array_equal(np.array(outputs[name], tensors[name].dtype), tensors[name])
    assert outputs["text"][:2] == ["\ufffd", "ü"]
    rows = json.loads(rest_codec.write_tensors(tensors, row=True))["predictions"]
    assert rows[1] == {name: values[1] for name, values in outputs.items()}
    assert rest_codec.write_tensors({"x_bytes": np.array(b"a", object)}, row=False) == b'{"outputs": {"b64": "YQ=="}}'
    assert rest_codec.write_tensors({"x": np.zeros([0, 4], np.float32)}, row=True) == b'{"predictions": []}'
