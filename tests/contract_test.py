"""The contract of any server with an export, part 1: routes, methods, errors and their order, headers, connections."""
import contextlib
import gzip
import json

import pytest

from tests.contract_server import expect_error

pytestmark = pytest.mark.slow
# Two images of 2 x 2 pixels: the least that an export answers.
ASKED = {"signature_name": "image_tensor", "instances": [[[[9, 9, 9]] * 2] * 2, [[[255, 0, 0]] * 2] * 2]}


def test_predict_is_asked_by_name_or_version_in_any_case(served):
    version = served.version()
    expected = served.predict(ASKED)
    assert expected.status == 200
    encoded = "".join(f"%{byte:02x}" for byte in served.model.encode())
    for path in (
        f"/v1/models/{{model}}/versions/{version}:predict",
        f"/v1/models/{{model}}/versions/00{version}:predict",
        "/V1/Models/{model}:predict",
        f"/v1/models/{encoded}:predict",
    ):
        assert served.ask("POST", path, ASKED).outcome == expected.outcome, path


def test_status_tells_the_version_and_ignores_labels(served):
    version = served.version()
    row = {"version": str(version), "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    assert served.get(f"/versions/{version}") == {"model_version_status": [row]}
    everything = served.get()
    assert row in everything["model_version_status"]
    assert served.get("/labels/nobody-is-called-so") == everything
    assert served.ask("GET", "/V1/MODELS/{model}").outcome == (200, everything)


def test_metadata_describe_the_signatures_of_an_export(served):
    document = served.get("/metadata")
    version = document["model_spec"]["version"]
    assert document["model_spec"] == {"name": served.model, "signature_name": "", "version": version}
    assert served.get(f"/versions/{version}/metadata") == document
    signatures = served.signatures()
    found = {"detection_boxes": "DT_FLOAT", "num_detections": "DT_INT64", "status": "DT_STRING"}
    classes = {"detection_classes": "DT_INT64", "detection_class_names": "DT_STRING", "detection_scores": "DT_FLOAT"}
    for name, outputs in {
        "serving_default": {**found, **classes},
        "activation_map": {**found, **classes, "activation_map_bytes": "DT_STRING"},
        "activation_map_float": {**found, **classes, "activation_map": "DT_FLOAT"},
        "image_tensor": {**found, **classes},
        "localize": found,
    }.items():
        signature = signatures[name]
        assert signature["method_name"] == "tensorflow/serving/predict"
        assert {key: info["dtype"] for key, info in signature["outputs"].items()} == outputs, name
        ((key, info),) = signature["inputs"].items()
        expected = ("image_tensor", "DT_UINT8", 4) if name == "image_tensor" else ("image_bytes", "DT_STRING", 1)
        assert (key, info["dtype"], len(info["tensor_shape"]["dim"])) == expected
        for described in (info, *signature["outputs"].values()):
            assert described["tensor_shape"]["unknown_rank"] is False
            assert described["tensor_shape"]["dim"][0]["size"] == "-1", "the first axis is the batch"
    assert signatures["image_tensor"]["inputs"]["image_tensor"]["tensor_shape"]["dim"][3]["size"] == "3"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/models/{model}"),
        ("POST", "/v1/models/{model}:Predict"),
        ("POST", "/v1/models/{model}:explain"),
        ("POST", "/v1/models/{model}:predict?x=1"),
        ("POST", "/v1/models/{model}/metadata"),
        ("POST", "/v1/models/{model}/version/1:predict"),
        ("POST", "/v1/models/{model}/versions/one:predict"),
        ("POST", "/v1/models/{model}/versions/1/labels/a:predict"),
        ("POST", "/v1/models/{model}/labels/a/versions/1:predict"),
        ("POST", "/v1/models/:predict"),
        ("GET", "/v1/models/{model}:predict"),
        ("GET", "/v1/models/{model}/version/1"),
        ("GET", "/v1/models/{model}/versions/1/labels/a"),
        ("GET", "/v1/models/{model}/metadata/1"),
        ("GET", "/v1/"),
        ("PUT", "/v1/models/{model}:predict"),
        ("DELETE", "/v1/models/{model}"),
        ("PATCH", "/v1/models/{model}"),
    ],
)
def test_what_is_no_route_is_malformed(served, method, path):
    reply = served.ask(method, path, ASKED if method == "POST" else b"")
    expect_error(reply, 400, f"Malformed request: {method} {served.path(path)}")


def test_head_is_refused_and_other_paths_are_not_found(served):
    assert served.ask("HEAD", "/v1/models/{model}").status == 400
    for method in ("GET", "POST"):
        for path in ("/", "/v1", "/v2/models/{model}", "/models/{model}:predict", "/v1models/{model}"):
            assert (path, served.ask(method, path).status) == (path, 404)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("POST", "{model}:predict", b"", 400, "JSON Parse error: The document is empty"),
        ("POST", "{model}:predict", b'{"instances": [1,}', 400, "JSON Parse error: "),
        # Before the model is looked for: the body.
        ("POST", "nobody:predict", b"", 400, "JSON Parse error: The document is empty"),
        ("POST", "nobody:predict", b"{", 400, "JSON Parse error: "),
        ("POST", "nobody:predict", b"[1]", 400, "Is not object"),
        ("POST", "nobody:predict", b'"text"', 400, "Is not object"),
        ("POST", "nobody:predict", b'{"signature_name": 1}', 400, "'signature_name' key must be a string value."),
        ("POST", "nobody:predict", b'{"signature_name": "x"}', 404, "Servable not found for request: Latest(nobody)"),
        ("POST", "nobody/versions/7:predict", b"{}", 404, "Servable not found for request: Specific(nobody, 7)"),
        ("POST", "nobody%2Fversions%2F1:predict", b"{}", 404, "Latest(nobody/versions/1)"),
        ("POST", "{model}/versions/987654321:predict", b"{}", 404, "Servable not found for request: Specific("),
        ("POST", "{model}/labels/nobody:predict", b"{}", 400, "Unrecognized servable version label: nobody"),
        ("POST", f"{{model}}/versions/{2**63}:predict", b"{}", 400, f"Failed to convert version: {2**63} to numeric."),
        # Before instances and inputs: the signature.
        ("POST", "{model}:predict", b'{"signature_name": "x"}', 400,
         'Serving signature name: "x" not found in signature def'),
        ("POST", "{model}:predict", b'{"signature_name": ""}', 400, "Missing 'inputs' or 'instances' key"),
        ("POST", "{model}:predict", b'{"instances": ["a"], "inputs": ["a"]}', 400,
         "expecting only one of 'inputs' or 'instances' keys to exist"),
        ("POST", "{model}:predict", b'{"instances": {"b64": ""}}', 400, "Expecting 'instances' to be an list/array"),
        ("POST", "{model}:predict", b'{"instances": []}', 400, "No values in 'instances' array"),
        ("GET", "nobody", b"", 404, "Could not find any versions of model nobody"),
        ("GET", "nobody/labels/a", b"", 404, "Could not find any versions of model nobody"),
        ("GET", "{model}?x=1", b"", 404, "Could not find any versions of model "),
        ("GET", "{model}/versions/987654321", b"", 404, "Could not find version 987654321 of model "),
        ("GET", f"{{model}}/versions/{2**63}", b"", 400, f"Failed to convert version: {2**63} to numeric."),
        ("GET", "nobody/metadata", b"", 404, "Servable not found for request: Latest(nobody)"),
        ("GET", "{model}/versions/987654321/metadata", b"", 404, "Servable not found for request: Specific("),
        ("GET", "{model}/labels/nobody/metadata", b"", 400, "Unrecognized servable version label: nobody"),
    ],
)  # fmt: skip
def test_errors_have_a_status_and_say_what_is_wrong_first(served, method, path, body, status, message):
    expect_error(served.ask(method, f"/v1/models/{path}", body), status, message)


def test_a_model_has_to_be_named(served):
    expect_error(served.ask("GET", "/v1/models"), 400, "Missing model name in request.")


def test_headers(served):
    expected = served.predict(ASKED).outcome
    for sent in ({}, {"Content-Type": "text/plain"}, {"Content-Type": "image/png", "Accept": "text/html"},
                 {"Accept-Encoding": "gzip, br"}):  # fmt: skip
        reply = served.ask("POST", "/v1/models/{model}:predict", ASKED, sent)
        assert reply.outcome == expected
        assert reply.headers.get_content_type() == "application/json"
        assert reply.headers["Content-Length"] == str(len(reply.body))
        assert reply.headers["Content-Encoding"] is None
        assert reply.headers["Date"]


def test_gzip_bodies_are_inflated_and_damaged_ones_are_empty(served):
    body = gzip.compress(json.dumps(ASKED).encode())
    for name in ("gzip", "x-gzip"):
        reply = served.ask("POST", "/v1/models/{model}:predict", body, {"Content-Encoding": name})
        assert reply.outcome == served.predict(ASKED).outcome
    for damaged in (body[:-12], b"plain", body[:1]):
        reply = served.ask("POST", "/v1/models/{model}:predict", damaged, {"Content-Encoding": "gzip"})
        expect_error(reply, 400, "JSON Parse error: The document is empty")


def test_options_need_an_origin(served):
    for origin, status in (("http://a", 200), ("https://a.example:8080", 200), ("null", 400), (None, 400)):
        for path in ("/v1/models/{model}:predict", "/v1/anything"):
            reply = served.ask("OPTIONS", path, headers={"Origin": origin} if origin else {})
            assert (origin, reply.status, reply.body) == (origin, status, b"")


def test_a_connection_is_kept_whatever_is_asked(served):
    expected = served.predict(ASKED).outcome
    with contextlib.closing(served.connection()) as connection:
        connection.connect()
        kept = connection.sock
        for _ in range(3):
            assert served.predict(ASKED, connection=connection).outcome == expected
            assert served.predict(b"{", connection=connection).status == 400
            assert served.predict(ASKED, "/versions/987654321", connection).status == 404
            assert served.ask("GET", "/v1/models/{model}", connection=connection).status == 200
            assert served.ask("PUT", "/v1/models/{model}", b"x", connection=connection).status == 400
            assert connection.sock is kept, "the server closed the connection"
