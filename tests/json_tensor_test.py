"""One JSON value to one tensor and back: types, ragged lists, base64, how numbers are written."""
import json
import struct

import numpy as np
import pytest

from serving import json_tensor
from serving.errors import Code, RequestError


def read(value, dtype):
    leaves, shape = json_tensor.flatten(value, dtype)
    return json_tensor.build(leaves, shape, dtype)


def error_of(value, dtype):
    with pytest.raises(RequestError) as caught:
        read(value, dtype)
    return caught.value


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (3, "float", np.array(3, np.float32)),
        ([[1, 2.5], [-3, 4e2]], "float", np.array([[1, 2.5], [-3, 400]], np.float32)),
        ([1e39, -1e39, 1e-60, 10**400], "float", np.array([np.inf, -np.inf, 0, np.inf], np.float32)),
        ([float("nan")], "float", np.array([np.nan], np.float32)),
        ([0.1, 1e39], "double", np.array([0.1, 1e39])),
        ([300, -1], "uint8", np.array([44, 255], np.uint8)),
        ([-(2**31), 2**31 - 1], "int32", np.array([-(2**31), 2**31 - 1], np.int32)),
        ([-(2**63), 2**63 - 1], "int64", np.array([-(2**63), 2**63 - 1], np.int64)),
        ([2**32 - 1], "uint32", np.array([2**32 - 1], np.uint32)),
        ([2**64 - 1], "uint64", np.array([2**64 - 1], np.uint64)),
        ([True, False], "bool", np.array([True, False])),
        (["é", {"b64": "/+8="}, {"b64": "/+8"}, {"b64": ""}, {"b64": "/ +8\n="}], "string",
         np.array(["é".encode(), b"\xff\xef", b"\xff\xef", b"", b"\xff\xef"], object)),
        ([], "float", np.zeros([0], np.float32)),
        ([[], []], "int32", np.zeros([2, 0], np.int32)),
    ],
)
def test_reads(value, dtype, expected):
    result = read(value, dtype)
    assert result.dtype == expected.dtype
    np.testing.assert_array_equal(result, expected, strict=True)


@pytest.mark.parametrize(
    ("value", "dtype", "kind"),
    [
        (True, "float", "True"), ("1", "float", "String"), (None, "double", "Null"), (1.0, "int32", "Number"),
        (2**31, "uint8", "Number"), (2**63, "int64", "Number"), (-1, "uint32", "Number"), (2**64, "uint64", "Number"),
        (False, "int64", "False"), (1, "bool", "Number"), (1, "string", "Number"), ({"b64": "AA=="}, "float", "Object"),
    ],
)  # fmt: skip
def test_a_leaf_of_the_wrong_kind_is_named(value, dtype, kind):
    error = error_of([value], dtype)
    assert error.code == Code.INVALID_ARGUMENT
    assert error.message.startswith("JSON Value: ")
    assert error.message.endswith(f" Type: {kind} is not of expected type: {dtype}")


@pytest.mark.parametrize("dtype", ["half", "bfloat16", "uint16", "complex64"])
def test_types_without_json_are_unimplemented(dtype):
    error = error_of(1.5, dtype)
    assert (error.code, error.http_status) == (Code.UNIMPLEMENTED, 501)
    assert error.message == f"Conversion of JSON Value: 1.5 to type: {dtype}"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([[1, 2], [3]], "Encountered list at unexpected size: 1 at level: 1 expected size: 2"),
        ([1, [2]], "Encountered list at unexpected level: 1 expected < 1"),
        ([[1], 2], "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2"),
    ],
)
def test_ragged_lists_say_where(value, message):
    assert error_of(value, "float").message == message


def test_deep_lists_are_refused_without_recursion():
    value = 1.0
    for _ in range(900):
        value = [value]
    assert "unexpected level" in error_of(value, "float").message


@pytest.mark.parametrize("text", ["_-8=", "A", "AA=", "AAA==", "AA==AA", "A*==", "é"])
def test_bad_base64(text):
    assert error_of({"b64": text}, "string").message == "Unable to base64 decode"


@pytest.mark.parametrize("value", [{"b64": 3}, {"b64": "AA==", "x": 1}, {}])
def test_an_object_that_is_not_base64(value):
    assert error_of([value], "string").message.endswith(" not formatted correctly for base64 data")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3.0"), (-0.0, "-0.0"), (0.2, "0.2"), (1 / 3, "0.333333343"), (999999, "999999.0"), (9e6, "9e+06"),
        (3e-5, "3e-05"), (16777216, "16777216.0"), (1e30, "1e+30"), (123456.5, "123456.5"), (1e-45, "1.4013e-45"),
        (np.nan, "NaN"), (np.inf, "Infinity"), (-np.inf, "-Infinity"),
    ],
)  # fmt: skip
def test_float32_is_written_short(value, text):
    assert json_tensor.texts(np.array([value], np.float32), as_base64=False) == [text]


@pytest.mark.parametrize(
    ("value", "text"), [(0.1, "0.1"), (1 / 3, "0.33333333333333331"), (2.0**53, "9007199254740992.0")]
)
def test_float64_is_written_short(value, text):
    assert json_tensor.texts(np.array([value]), as_base64=False) == [text]


def test_every_float32_reads_back_as_itself():
    bits = np.random.default_rng(0).integers(0, 2**32, 5_000, dtype=np.uint64).astype(np.uint32)
    values = bits.view(np.float32)
    values = values[np.isfinite(values)]
    for value, text in zip(values.tolist(), json_tensor.texts(values, as_base64=False)):
        assert struct.pack("f", float(text)) == struct.pack("f", value)
        assert len(text.lstrip("-").replace(".", "").split("e")[0].strip("0")) <= 9


@pytest.mark.parametrize(
    ("tensor", "expected"),
    [
        (np.array([True, False]), ["true", "false"]),
        (np.array([-(2**63), 2**63 - 1]), ["-9223372036854775808", "9223372036854775807"]),
        (np.array([2**64 - 1], np.uint64), ["18446744073709551615"]),
        (np.array(["é\"\n".encode(), b"\xff"], object), ['"é\\"\\n"', '"\udcff"']),
    ],
)
def test_other_types_are_written(tensor, expected):
    assert json_tensor.texts(tensor, as_base64=False) == expected


def test_bytes_are_written_as_padded_base64():
    assert json_tensor.texts(np.array([b"\xff\xef", b""], object), as_base64=True) == ['{"b64": "/+8="}', '{"b64": ""}']


@pytest.mark.parametrize(("dtype", "name"), [(np.float16, "half"), (np.complex64, "complex64")])
def test_types_that_cannot_be_written(dtype, name):
    with pytest.raises(RequestError) as caught:
        json_tensor.texts(np.zeros([1], dtype), as_base64=False)
    assert caught.value.message == f"Failed to write JSON value for tensor type: {name}"


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 1, 4), (0,), (0, 3), (3, 0), (2, 0, 3), (1, 2, 3, 2)])
def test_nest_makes_the_lists_of_numpy(shape):
    tensor = np.arange(np.prod(shape)).reshape(shape)
    rows = json_tensor.nest([str(value) for value in tensor.ravel()], shape)
    assert [json.loads(row) for row in rows] == tensor.tolist()
