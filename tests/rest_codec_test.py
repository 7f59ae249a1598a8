"""The row and column formats: which tensors a request means, how replies look, and every refusal's words."""
import json

import numpy as np
import pytest

from serving import rest_codec
from serving.errors import Code, RequestError

ONE = {"x": "float"}
IMAGES = {"image_bytes": "string"}
TWO = {"b": "int64", "a": "float"}


def error_of(document, inputs):
    with pytest.raises(RequestError) as caught:
        rest_codec.read_tensors(document, inputs)
    return caught.value


@pytest.mark.parametrize(
    ("document", "inputs", "expected", "row"),
    [
        ({"instances": [1, 2]}, ONE, {"x": [1, 2]}, True),
        ({"instances": [[1], [2]]}, ONE, {"x": [[1], [2]]}, True),
        ({"instances": [{"x": 1}, {"x": 2}]}, ONE, {"x": [1, 2]}, True),
        ({"instances": [{"b64": "QQ=="}, "B"]}, IMAGES, {"image_bytes": [b"A", b"B"]}, True),
        ({"instances": [{"image_bytes": {"b64": "QQ=="}}]}, IMAGES, {"image_bytes": [b"A"]}, True),
        ({"instances": [[{"b64": "QQ=="}, "B"]]}, IMAGES, {"image_bytes": [[b"A", b"B"]]}, True),
        ({"instances": [{"a": [1], "b": 3}, {"b": 4, "a": [5]}]}, TWO, {"a": [[1], [5]], "b": [3, 4]}, True),
        ({"inputs": [1, 2], "other": 1}, ONE, {"x": [1, 2]}, False),
        ({"inputs": 1}, ONE, {"x": 1}, False),
        ({"inputs": {"x": [[1]]}}, ONE, {"x": [[1]]}, False),
        ({"inputs": {"b64": "QQ=="}}, IMAGES, {"image_bytes": b"A"}, False),
        ({"inputs": {"a": [[1, 2]], "b": [1, 2, 3], "c": "extra"}}, TWO, {"a": [[1, 2]], "b": [1, 2, 3]}, False),
    ],
)
def test_reads(document, inputs, expected, row):
    tensors, is_row = rest_codec.read_tensors(document, inputs)
    assert is_row is row
    assert {name: tensor.tolist() for name, tensor in tensors.items()} == expected


@pytest.mark.parametrize(
    ("document", "inputs", "start", "end"),
    [
        ({}, ONE, "Missing 'inputs' or 'instances' key", ""),
        ({"instances": [1], "inputs": [1]}, ONE, "JSON Value: {",
         " Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist "),
        ({"instances": 1}, ONE, "JSON Value: {", " Expecting 'instances' to be an list/array"),
        ({"instances": []}, ONE, "JSON Value: {", " No values in 'instances' array"),
        ({"instances": [1]}, TWO, "instances is a plain list, but expecting list of objects as multiple input tensors "
         "required as per tensorinfo_map", ""),
        ({"instances": [{"x": 1}, 2]}, ONE, "Expecting object but got list at item 1 of input list", ""),
        ({"instances": [1, {"x": 2}]}, ONE, "Expecting value/list but got object at item 1 of input list", ""),
        ({"instances": [{"x": 1, "y": 2}]}, ONE, "Failed to process element: 0 key: y of 'instances' list. Error: "
         "INVALID_ARGUMENT: JSON object: does not have named input: y", ""),
        ({"instances": [{"a": 1, "b": 2}, {"a": 1}]}, TWO,
         "Failed to process element: 1 of 'instances' list. JSON object: {", " keys must be equal to: a,b"),
        ({"instances": [[1, 2], [3]]}, ONE, "Failed to process element: 1 of 'instances' list. Error: "
         "INVALID_ARGUMENT: Expecting tensor size: 2 but got: 1", ""),
        ({"instances": [[[1, 2]], [[3], [4]]]}, ONE, "Failed to process element: 1 of 'instances' list. Error: "
         "INVALID_ARGUMENT: Expecting shape [1,2] but got: [2,1]", ""),
        ({"instances": [{"a": "x", "b": 1}]}, TWO, "Failed to process element: 0 key: a of 'instances' list. Error: "
         "INVALID_ARGUMENT: JSON Value: \"x\" Type: String is not of expected type: float", ""),
        ({"inputs": [1]}, TWO, "inputs is a plain value/list, but expecting an object as multiple input tensors "
         "required as per tensorinfo_map", ""),
        ({"inputs": {"a": 1}}, TWO, "Missing named input: b in 'inputs' object.", ""),
        ({"inputs": {"b64": "QQ==", "z": 1}}, IMAGES, "Missing named input: image_bytes in 'inputs' object.", ""),
    ],
)  # fmt: skip
def test_refuses(document, inputs, start, end):
    error = error_of(document, inputs)
    assert error.code == Code.INVALID_ARGUMENT
    assert error.message.startswith(start)
    assert error.message.endswith(end or start)


def test_a_leading_base64_object_slips_past_the_check_for_named_inputs():
    tensors, _ = rest_codec.read_tensors({"instances": [{"b64": "QQ=="}]}, {"b": "string", "a": "string"})
    assert list(tensors) == ["a"]


@pytest.mark.parametrize(
    ("document", "end"),
    [([1], " Is not object"), ("x", " Is not object"),
     ({"signature_name": 3}, " not formatted correctly. 'signature_name' key must be a string value.")],
)
def test_signature_name_refuses(document, end):
    with pytest.raises(RequestError) as caught:
        rest_codec.signature_name(document)
    assert caught.value.message.startswith("JSON Value: ")
    assert caught.value.message.endswith(end)


@pytest.mark.parametrize(("document", "name"), [({}, ""), ({"signature_name": ""}, ""), ({"signature_name": "s"}, "s")])
def test_signature_name(document, name):
    assert rest_codec.signature_name(document) == name


@pytest.mark.parametrize(
    ("tensors", "row", "expected"),
    [
        ({"y": np.array([1, 2])}, True, {"predictions": [1, 2]}),
        ({"y": np.array([[1], [2]])}, False, {"outputs": [[1], [2]]}),
        ({"y": np.array(1.5)}, False, {"outputs": 1.5}),
        ({"y": np.zeros([0, 3])}, True, {"predictions": []}),
        ({"y": np.array([1, 2]), "z": np.array([[True], [False]])}, True,
         {"predictions": [{"y": 1, "z": [True]}, {"y": 2, "z": [False]}]}),
        ({"y": np.array(1), "z": np.array([b"s"], object)}, False, {"outputs": {"y": 1, "z": ["s"]}}),
        ({"mask_bytes": np.array([b"s", b"\xff"], object)}, True, {"predictions": [{"b64": "cw=="}, {"b64": "/w=="}]}),
        ({"bytes_mask": np.array([b"s"], object)}, True, {"predictions": ["s"]}),
    ],
)  # fmt: skip
def test_writes(tensors, row, expected):
    assert json.loads(rest_codec.write_tensors(tensors, row=row)) == expected


def test_strings_that_are_not_utf8_are_written_as_they_are():
    assert rest_codec.write_tensors({"y": np.array([b"\xff"], object)}, row=True) == b'{"predictions": ["\xff"]}'


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"y": np.array(1)}, "Tensor name: y has no shape information "),
        ({"y": np.zeros([2]), "z": np.zeros([3])}, "Tensor name: z has inconsistent batch size: 3 expecting: 2"),
    ],
)
def test_rows_need_a_common_first_dimension(tensors, message):
    with pytest.raises(RequestError) as caught:
        rest_codec.write_tensors(tensors, row=True)
    assert caught.value.message == message
