"""The contract of any server with an export, part 1: routes, methods, errors, headers, connections."""
import contextlib

import pytest

from tests.serving.contract_server import expect_error

pytestmark = pytest.mark.slow
# Two images of 2 x 2 pixels, the smallest request that an export answers.
ASKED = {"signature_name": "image_tensor", "instances": [[[[9, 9, 9]] * 2] * 2, [[[255, 0, 0]] * 2] * 2]}


def test_predict_is_asked_by_name_or_version(served):
    version = served.version()
    expected = served.predict(ASKED)
    assert expected.status == 200
    encoded = "".join(f"%{byte:02x}" for byte in served.model.encode())
    for path in (
        f"/v1/models/{{model}}/versions/{version}:predict",
        f"/v1/models/{{model}}/versions/00{version}:predict",
        f"/v1/models/{encoded}:predict",
    ):
        assert served.ask("POST", path, ASKED).outcome == expected.outcome, path


def test_status_lists_the_versions(served):
    version = served.version()
    row = {"version": str(version), "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    assert served.get(f"/versions/{version}") == {"model_version_status": [row]}
    assert row in served.get()["model_version_status"]


def test_metadata_describe_the_signatures_of_an_export(served):
    document = served.get("/metadata")
    version = document["model_spec"]["version"]
    assert document["model_spec"] == {"name": served.model, "signature_name": "", "version": version}
    assert served.get(f"/versions/{version}/metadata") == document
    signatures = served.signatures()
    found = {"detection_boxes": "DT_FLOAT", "detection_box_scores": "DT_FLOAT", "num_detections": "DT_INT64"}
    found["status"] = "DT_STRING"
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


def test_other_paths_are_not_found(served):
    for method in ("GET", "POST"):
        for path in ("/v1", "/v2/models/{model}", "/models/{model}:predict", "/v1models/{model}"):
            assert (path, served.ask(method, path).status) == (path, 404)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("POST", "{model}:predict", b"", 400, "JSON Parse error: "),
        ("POST", "{model}:predict", b'{"instances": [1,}', 400, "JSON Parse error: "),
        # The body is checked before the model is looked for.
        ("POST", "nobody:predict", b"", 400, "JSON Parse error: "),
        ("POST", "nobody:predict", b"[1]", 400, ""),
        ("POST", "nobody:predict", b'"text"', 400, ""),
        ("POST", "nobody:predict", b'{"signature_name": 1}', 400, "signature_name"),
        ("POST", "nobody:predict", b'{"signature_name": "x"}', 404, "Servable not found for request: Latest(nobody)"),
        ("POST", "nobody/versions/7:predict", b"{}", 404, "Servable not found for request: Specific(nobody, 7)"),
        ("POST", "{model}/versions/987654321:predict", b"{}", 404, "Servable not found for request: Specific("),
        ("POST", "{model}/labels/nobody:predict", b"{}", 400, ""),
        ("POST", f"{{model}}/versions/{2**63}:predict", b"{}", 400, f"{2**63}"),
        # The signature is checked before instances and inputs.
        ("POST", "{model}:predict", b'{"signature_name": "x"}', 400,
         'Serving signature name: "x" not found in signature def'),
        ("POST", "{model}:predict", b'{"signature_name": ""}', 400, "Missing 'inputs' or 'instances' key"),
        ("POST", "{model}:predict", b'{"instances": ["a"], "inputs": ["a"]}', 400, "only one of 'inputs'"),
        ("POST", "{model}:predict", b'{"instances": {"b64": ""}}', 400, "'instances'"),
        ("POST", "{model}:predict", b'{"instances": []}', 400, "'instances'"),
        ("GET", "nobody", b"", 404, "Could not find any versions of model nobody"),
        ("GET", "{model}/versions/987654321", b"", 404, "Could not find version 987654321 of model "),
        ("GET", f"{{model}}/versions/{2**63}", b"", 400, f"{2**63}"),
        ("GET", "nobody/metadata", b"", 404, "Servable not found for request: Latest(nobody)"),
        ("GET", "{model}/versions/987654321/metadata", b"", 404, "Servable not found for request: Specific("),
    ],
)  # fmt: skip
def test_errors_have_a_status_and_a_message(served, method, path, body, status, message):
    expect_error(served.ask(method, f"/v1/models/{path}", body), status, message)


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


def test_a_label_answers_as_the_version_that_it_points_at(served):
    if served.ask("GET", "/v1/models/{model}/labels/stable/metadata").status == 400:
        pytest.skip(f"the server at {served.url} has no label `stable`; the local server has no labels")
    version = served.version("/labels/stable")
    assert served.predict(ASKED, "/labels/stable").outcome == served.predict(ASKED, f"/versions/{version}").outcome


def test_pages_of_other_origins_may_read_all_replies_or_none(served):
    asked = [("GET", "{model}"), ("GET", "{model}:predict"), ("GET", "nobody"), ("OPTIONS", "{model}:predict")]
    headers = {"Origin": "http://a", "Access-Control-Request-Method": "POST"}
    replies = [served.ask(method, f"/v1/models/{path}", headers=headers) for method, path in asked]
    assert {reply.headers["Access-Control-Allow-Origin"] for reply in replies} in ({"*"}, {None})
