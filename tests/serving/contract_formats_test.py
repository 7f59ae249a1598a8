"""The contract of any server with an export, part 2: rows, columns, base64, JSON types."""
import json
import math

import numpy as np
import pytest

from tests.serving import tiny_export
from tests.serving.contract_server import b64, expect_error

pytestmark = pytest.mark.slow
IMAGE = tiny_export.image(40, 60, (10, 12, 20, 48))
PIXELS = [[[255, 0, 0], [0, 0, 0]], [[9, 9, 9], [0, 255, 0]]]


@pytest.fixture(name="expected", scope="module")
def _expected(served):
    """The rows for an image and for an empty file."""
    return rows_of(served.predict({"instances": [b64(IMAGE), b64(b"")]}))


def rows_of(reply):
    """Returns the rows of a reply in either format; fails if it is an error."""
    assert reply.status == 200, reply.body[:1000]
    document = reply.document
    ((kind, content),) = document.items()
    if kind == "predictions":
        return content
    assert kind == "outputs"
    if not isinstance(content, dict):
        return content
    return [dict(zip(content, row)) for row in zip(*content.values())]


@pytest.mark.parametrize(
    "document",
    [
        {"instances": [{"image_bytes": b64(IMAGE)}, {"image_bytes": b64(b"")}]},
        {"instances": [{"b64": b64(IMAGE)["b64"].rstrip("=")}, ""]},
        {"inputs": {"image_bytes": [b64(IMAGE), b64(b"")]}},
        {"inputs": [b64(IMAGE), {"b64": ""}]},
        {"inputs": {"image_bytes": [b64(IMAGE), ""], "not an input": [1]}, "signature_name": "", "other": 1},
        {"signature_name": "serving_default", "instances": [b64(IMAGE), b64(b"")]},
    ],
)
def test_all_ways_to_send_images_lead_to_the_same_answer(served, expected, document):
    assert len(expected) == 2
    assert expected[0]["status"] == ""
    assert expected[1]["status"]
    assert rows_of(served.predict(document)) == expected


def test_pixels_are_sent_as_lists_of_whole_numbers(served):
    expected = rows_of(served.predict({"signature_name": "image_tensor", "instances": [PIXELS, PIXELS]}))
    assert len(expected) == 2
    assert expected[0] == expected[1]
    for document in ({"instances": [{"image_tensor": PIXELS}] * 2}, {"inputs": [PIXELS] * 2}):
        assert rows_of(served.predict({"signature_name": "image_tensor", **document})) == expected


def test_blanks_and_unknown_keys_are_ignored(served):
    asked = {"signature_name": "image_tensor", "instances": [PIXELS]}
    expected = served.predict(asked).outcome
    body = json.dumps(asked)
    for variant in (" \n\t" + body + "\n", body[:-1] + ', "numbers": [NaN, Infinity, -Infinity, 1e-400, [[]]]}'):
        assert served.predict(variant.encode()).outcome == expected, variant[-80:]


@pytest.mark.parametrize(
    "instances",
    [
        [3],
        [None],
        [True],
        [{"b64": "_-8="}],  # the alphabet for URLs
        [{"b64": "A"}],
        [b64(IMAGE), {"image_bytes": b64(IMAGE)}],
        [{"image_bytes": b64(IMAGE)}, "a"],
        [{"picture": b64(IMAGE)}],
        [{**b64(IMAGE), "x": 1}],  # with a second key it is no longer base64
        [{}],
        [["a"], "b"],
        [["a"], ["b", "c"]],
    ],
)
def test_rows_that_are_no_images_are_refused(served, instances):
    expect_error(served.predict({"instances": instances}), 400)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"picture": ["a"]}, "image_bytes"),
        ({**b64(b""), "x": 1}, "image_bytes"),
        ([3], "string"),
        ({"image_bytes": ["a", ["b"]]}, ""),
        ({"image_bytes": [["a"], "b"]}, ""),
        (b64(IMAGE), ""),  # a scalar, where the graph expects a batch
        ([["a"]], ""),
    ],
)
def test_columns_that_are_no_images_are_refused(served, inputs, message):
    expect_error(served.predict({"inputs": inputs}), 400, message)


@pytest.mark.parametrize("pixel", [[1.0, 0, 0], [2**31, 0, 0], ["1", 0, 0], [False, 0, 0], [b64(b"a"), 0, 0], [0, 0]])
def test_pixels_of_other_types_are_refused(served, pixel):
    damaged = [PIXELS[0], [PIXELS[1][0], pixel]]
    expect_error(served.predict({"signature_name": "image_tensor", "inputs": [damaged]}), 400)
    expect_error(served.predict({"signature_name": "image_tensor", "instances": [PIXELS, damaged]}), 400)


def test_images_of_different_sizes_are_no_tensor(served):
    for other in (PIXELS[:1], [[pixel] for pixel in PIXELS[0] + PIXELS[1]]):
        expect_error(served.predict({"signature_name": "image_tensor", "instances": [PIXELS, other]}), 400)


def test_several_inputs_and_outputs_of_every_type(served):
    served.needs("numbers")
    asked = {"signature_name": "numbers", "instances": [{"a": [1, 2.5], "b": 3}, {"b": -4, "a": [-1, 0]}]}
    expected = [
        {"total": 3.5, "next": 4, "positive": True, "text": "3°", "raw_bytes": b64(b"3\xff")},
        {"total": -1.0, "next": -3, "positive": False, "text": "-4°", "raw_bytes": b64(b"-4\xff")},
    ]
    assert served.predict(asked).outcome == (200, {"predictions": expected})
    columns = {"signature_name": "numbers", "inputs": {"a": [[1, 2.5], [-1, 0]], "b": [3, -4], "c": "extra"}}
    assert rows_of(served.predict(columns)) == expected


@pytest.mark.parametrize(
    "document",
    [
        {"instances": [{"a": [1, 2]}]},
        {"instances": [{"a": [1, 2], "b": 1, "c": 1}]},
        {"instances": [[1, 2]]},
        {"inputs": [1]},
        {"inputs": {"a": [[1, 2]]}},
        {"instances": [{"a": ["x", 2], "b": 1}]},
    ],
)
def test_several_inputs_have_to_be_named(served, document):
    served.needs("numbers")
    expect_error(served.predict({"signature_name": "numbers", **document}), 400)


def test_numbers_keep_their_value_and_need_not_be_finite(served):
    served.needs("numbers")
    rows = "[NaN, 1], [Infinity, 0], [-Infinity, 0], [1e39, 0], [0.1, 0.2], [16777216, 0], [1e-400, 3e-5], [9e6, 0]"
    largest = "9223372036854775806, -9223372036854775808, 0, 0, 0, 0, 0, 0"
    body = f'{{"signature_name": "numbers", "inputs": {{"a": [{rows}], "b": [{largest}]}}}}'
    outputs = served.predict(body.encode()).document["outputs"]
    assert outputs["next"][:2] == [2**63 - 1, -(2**63) + 1]
    total = outputs["total"]
    assert math.isnan(total[0])
    assert total[1:4] == [math.inf, -math.inf, math.inf]
    exact = np.float32([0.1, 16777216, 3e-5, 9e6]) + np.float32([0.2, 0, 0, 0])
    np.testing.assert_array_equal(np.float32(total[4:]), exact)
    assert all(isinstance(value, float) for value in total), "a float is never written as a whole number"


def test_one_output_loses_its_name(served):
    served.needs("echo")
    assert served.predict({"signature_name": "echo", "instances": ["ab", "c"]}).document == {
        "predictions": ["a", "c"]
    }
    assert served.predict({"signature_name": "echo", "inputs": ["ab"]}).document == {"outputs": ["a"]}


def test_a_scalar_is_a_column_but_no_row(served):
    served.needs("whole")
    assert served.predict({"signature_name": "whole", "inputs": [1, 2]}).document == {"outputs": 1.0}
    refused = served.predict({"signature_name": "whole", "instances": [1, 2]})
    expect_error(refused, 400)


def test_a_failed_assertion_is_the_callers_error(served):
    served.needs("checked")
    expect_error(served.predict({"signature_name": "checked", "instances": ["x"]}), 400)
