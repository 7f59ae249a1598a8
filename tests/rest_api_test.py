"""The REST routes over real HTTP: answers in both formats, errors and the order of checks, status, metadata."""
import base64

import pytest

from serving.model_store import ModelStore
from serving.rest_api import RestApi
from tests import tiny_export

CORS = ("Origin", "Methods", "Headers")
NUMBERS = {"signature_name": "numbers", "instances": [{"a": [1, 2.5], "b": 3}, {"a": [-1, 0], "b": -4}]}


@pytest.fixture(name="url")
def _url(older_url):
    return older_url


def b64(content):
    return {"b64": base64.b64encode(content).decode()}


def test_rows_are_answered_with_the_box_of_each_image(http, url):
    images = [tiny_export.image(40, 60, (10, 12, 20, 48)), tiny_export.image(64, 32, (0, 8, 64, 16))]
    reply = http.post(f"{url}:predict", json={"instances": [b64(image) for image in images]})
    assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json")
    wide, tall = reply.json()["predictions"]
    assert wide["detection_boxes"] == [pytest.approx([10 / 40, 12 / 60, 20 / 40, 48 / 60], abs=1e-6)]
    assert tall["detection_boxes"] == [pytest.approx([0, 8 / 32, 1, 16 / 32], abs=1e-6)]
    assert (wide["detection_classes"], wide["detection_class_names"]) == ([1], ["wide"])
    assert (tall["detection_classes"], tall["detection_class_names"]) == ([0], ["tall"])
    assert wide["detection_scores"] == pytest.approx([360 / 2400])


def test_columns_and_rows_agree(http, url):
    image = b64(tiny_export.image(40, 60, (10, 12, 20, 48)))
    row = http.post(f"{url}:predict", json={"instances": [{"image_bytes": image}]}).json()["predictions"]
    outputs = http.post(f"{url}/versions/1:predict", json={"inputs": {"image_bytes": [image]}}).json()["outputs"]
    assert row == [{name: value[0] for name, value in outputs.items()}]


def test_signatures_types_and_names_that_end_in_bytes(http, url):
    assert http.post(f"{url}:predict", json=NUMBERS).json() == {
        "predictions": [
            {"total": 3.5, "next": 4, "positive": True, "text": "3°", "raw_bytes": b64(b"3\xff")},
            {"total": -1.0, "next": -3, "positive": False, "text": "-4°", "raw_bytes": b64(b"-4\xff")},
        ]
    }
    reply = http.post(f"{url}:predict", data='{"signature_name": "whole", "inputs": [NaN, 1]}')
    assert reply.text == '{"outputs": NaN}'
    largest = {"signature_name": "numbers", "inputs": {"a": [[0, 0]], "b": [2**63 - 2]}}
    assert http.post(f"{url}:predict", json=largest).json()["outputs"]["next"] == [2**63 - 1]
    left_half = b64(tiny_export.image(8, 8, (0, 0, 8, 4)))
    maps = http.post(f"{url}:predict", json={"signature_name": "activation_map", "instances": [left_half]})
    assert maps.json()["predictions"][0]["activation_map"] == [[1.0, 1.0, 0.0, 0.0]] * 4


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("POST", "ornet:predict", "", 400, "JSON Parse error: The document is empty"),
        ("POST", "nobody:predict", "{", 400, "JSON Parse error: "),
        ("POST", "nobody:predict", "[1]", 400, " Is not object"),
        ("POST", "nobody:predict", '{"signature_name": 1}', 400, "'signature_name' key must be a string value."),
        ("POST", "nobody:predict", '{"signature_name": "x"}', 404, "Servable not found for request: Latest(nobody)"),
        ("POST", "ornet/versions/9:predict", "{}", 404, "Servable not found for request: Specific(ornet, 9)"),
        ("POST", "ornet/labels/stable:predict", "{}", 400, "Unrecognized servable version label: stable"),
        ("POST", "ornet:predict", '{"signature_name": "x"}', 400,
         'Serving signature name: "x" not found in signature def'),
        ("POST", "ornet:predict", '{"signature_name": ""}', 400, "Missing 'inputs' or 'instances' key"),
        ("POST", "ornet:predict", '{"signature_name": "__saved_model_init_op", "instances": [1]}', 400,
         "Failed to get input map for signature: __saved_model_init_op"),
        ("POST", "ornet:predict", '{"instances": [3]}', 400, "Value: 3 Type: Number is not of expected type: string"),
        ("POST", "ornet:predict", '{"instances": [{"b64": "_w=="}]}', 400, "Unable to base64 decode"),
        ("POST", "ornet:predict", '{"instances": ["no image"]}', 400, "Unknown image file format"),
        ("POST", "ornet:predict", '{"signature_name": "numbers", "inputs": {"a": [1], "b": [1]}}', 400, ""),
        ("POST", "ornet:predict", '{"signature_name": "numbers", "instances": [{"b64": "QQ=="}]}', 400,
         "is not of expected type: float"),
        ("POST", "ornet:predict", '{"signature_name": "whole", "instances": [1, 2]}', 400,
         "Tensor name: y has no shape information "),
        ("POST", "ornet:predict", '{"signature_name": "checked", "instances": ["x"]}', 400, "assertion failed"),
        ("POST", "ornet:classify", '{"examples": []}', 501, "answers :predict"),
        ("POST", "ornet:Predict", "{}", 400, "Malformed request: POST /v1/models/ornet:Predict"),
        ("POST", "ornet:predict?x=1", "{}", 400, "Malformed request: POST /v1/models/ornet:predict?x=1"),
        ("POST", "ornet/metadata", "{}", 400, "Malformed request: POST /v1/models/ornet/metadata"),
        ("POST", "ornet/versions/1/labels/a:predict", "{}", 400, "Malformed request: "),
        ("POST", f"ornet/versions/{2**63}:predict", "{}", 400, f"Failed to convert version: {2**63} to numeric."),
        ("GET", "ornet:predict", "", 400, "Malformed request: GET /v1/models/ornet:predict"),
        ("GET", "ornet/version/1", "", 400, "Malformed request: GET /v1/models/ornet/version/1"),
        ("PUT", "ornet:predict", "{}", 400, "Malformed request: PUT /v1/models/ornet:predict"),
        ("DELETE", "ornet", "", 400, "Malformed request: DELETE /v1/models/ornet"),
        ("GET", "nobody", "", 404, "Could not find any versions of model nobody"),
        ("GET", "ornet?x=1", "", 404, "Could not find any versions of model ornet?x=1"),
        ("GET", "ornet/versions/9", "", 404, "Could not find version 9 of model ornet"),
        ("GET", "nobody/metadata", "", 404, "Servable not found for request: Latest(nobody)"),
        ("GET", "ornet/versions/9/metadata", "", 404, "Servable not found for request: Specific(ornet, 9)"),
        ("GET", "ornet/labels/stable/metadata", "", 400, "Unrecognized servable version label: stable"),
    ],
)  # fmt: skip
def test_errors_and_the_order_of_checks(http, url, method, path, body, status, message):
    reply = http.request(method, url.replace("ornet", path), data=body)
    assert (reply.status_code, reply.headers["content-type"]) == (status, "application/json")
    assert list(reply.json()) == ["error"]
    assert message in reply.json()["error"]


def test_cors_headers_are_on_every_reply_of_the_api_or_on_none(tmp_path):
    store = ModelStore("ornet", tmp_path, str)
    for cors, expected in ((False, set()), (True, {f"Access-Control-Allow-{key}" for key in CORS})):
        api = RestApi(store, cors=cors)
        for method in ("GET", "PUT", "OPTIONS"):
            assert set(api.answer(method, "/v1/models/ornet").headers) == expected
        assert not api.answer("GET", "/other").headers


def test_missing_model_name(http, url):
    reply = http.get(url.rsplit("/", 1)[0])
    assert (reply.status_code, reply.json()) == (400, {"error": "Missing model name in request."})


def test_status_and_metadata(http, url):
    known = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    for path in ("", "/versions/1", "/labels/any"):
        assert http.get(url + path).json() == {"model_version_status": [known]}
    metadata = http.get(f"{url}/metadata").json()
    assert metadata["model_spec"] == {"name": "ornet", "signature_name": "", "version": "1"}
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    numbers = signatures["numbers"]
    assert numbers["method_name"] == "tensorflow/serving/predict"
    assert numbers["inputs"]["a"]["dtype"] == "DT_FLOAT"
    sizes = {"dim": [{"size": "-1", "name": ""}, {"size": "2", "name": ""}], "unknown_rank": False}
    assert numbers["inputs"]["a"]["tensor_shape"] == sizes
    assert signatures["whole"]["inputs"]["x"]["tensor_shape"] == {"dim": [], "unknown_rank": True}
    assert sorted(signatures["serving_default"]["outputs"]) == [
        "detection_boxes", "detection_class_names", "detection_classes", "detection_scores",
    ]  # fmt: skip


LONG = "x" * 10_000


@pytest.mark.parametrize(
    ("path", "request_body", "said"),
    [
        (":predict", {"signature_name": None, "inputs": [LONG]}, "'signature_name' key must be a string value."),
        (":predict", {"signature_name": 3, LONG: 1}, "'signature_name' key must be a string value."),
        (":predict", {"signature_name": LONG, "inputs": []}, "not found in signature def"),
        (":predict", [LONG], "Is not object"),
        (":predict", {"instances": [1], "inputs": LONG}, "'instances' keys to exist "),
        (":predict", {"instances": LONG}, "Expecting 'instances' to be an list/array"),
        (":predict", {"instances": [{LONG: 1}]}, "does not have named input: xxx"),
        (":predict", {"instances": [{"image_bytes": "a", LONG: 1}]}, "does not have named input: xxx"),
        (":predict", {"signature_name": "numbers", "instances": [{"a": LONG, "b": 1}]}, "not of expected type: float"),
        (":predict", {"signature_name": "numbers", "inputs": {"a": [[1], LONG], "b": 1}}, "at incorrect level: 2"),
        (":predict", {"inputs": [{"b64": LONG, "more": 1}]}, "not formatted correctly for base64 data"),
        (f":{LONG}", {}, "Malformed request: POST /v1/models/ornet:xxx"),
        (f"/labels/{LONG}:predict", {"inputs": []}, "Unrecognized servable version label: xxx"),
        (f"/versions/{'9' * 9000}:predict", {"inputs": []}, "to numeric."),
        (f"{LONG}:predict", {"inputs": []}, "Servable not found for request: Latest(ornetxxx"),
        (f"{LONG}/versions/3:predict", {"inputs": []}, ", 3)"),
    ],
)
def test_messages_say_what_is_wrong_and_echo_little(http, url, path, request_body, said):
    reply = http.post(url + path, json=request_body)
    assert reply.status_code in (400, 404)
    message = reply.json()["error"]
    assert said in message and len(message) < 1100


def test_what_the_graph_says_of_the_request_is_cut(http, url):
    reply = http.post(f"{url}:predict", json={"signature_name": "checked", "inputs": [LONG]})
    assert reply.status_code == 400 and len(reply.json()["error"]) < 1100
    states = http.get(url + LONG)
    assert states.status_code == 404 and len(states.json()["error"]) < 1100
