"""The local server over real HTTP: routes, errors and their order, versions, concurrency, the command line."""
import base64
import concurrent.futures
import gzip
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest
import requests
import tiny_export

from serving import local_server

ROOT = pathlib.Path(__file__).resolve().parent.parent
NUMBERS = {"signature_name": "numbers", "instances": [{"a": [1, 2.5], "b": 3}, {"a": [-1, 0], "b": -4}]}


@pytest.fixture(name="export", scope="module")
def _export(tmp_path_factory):
    base = tmp_path_factory.mktemp("export")
    tiny_export.write(base / "1")
    return base


@pytest.fixture(name="http", scope="module")
def _http():
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.fixture(name="url", scope="module")
def _url(export):
    with local_server.running(export, "ornet") as url:
        yield url


def b64(content):
    return {"b64": base64.b64encode(content).decode()}


def test_rows_are_answered_with_the_box_of_each_picture(http, url):
    pictures = [tiny_export.picture(40, 60, (10, 12, 20, 48)), tiny_export.picture(64, 32, (0, 8, 64, 16))]
    reply = http.post(f"{url}:predict", json={"instances": [b64(picture) for picture in pictures]})
    assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json")
    wide, tall = reply.json()["predictions"]
    assert wide["detection_boxes"] == [pytest.approx([10 / 40, 12 / 60, 20 / 40, 48 / 60], abs=1e-6)]
    assert tall["detection_boxes"] == [pytest.approx([0, 8 / 32, 1, 16 / 32], abs=1e-6)]
    assert (wide["detection_classes"], wide["detection_class_names"]) == ([1], ["wide"])
    assert (tall["detection_classes"], tall["detection_class_names"]) == ([0], ["tall"])
    assert wide["detection_scores"] == pytest.approx([360 / 2400])


def test_columns_and_rows_agree(http, url):
    picture = b64(tiny_export.picture(40, 60, (10, 12, 20, 48)))
    row = http.post(f"{url}:predict", json={"instances": [{"image_bytes": picture}]}).json()["predictions"]
    outputs = http.post(f"{url}/versions/1:predict", json={"inputs": {"image_bytes": [picture]}}).json()["outputs"]
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
    left_half = b64(tiny_export.picture(8, 8, (0, 0, 8, 4)))
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
        ("POST", "ornet:predict", '{"instances": ["no picture"]}', 400, "Unknown image file format"),
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


def test_missing_model_name(http, url):
    reply = http.get(url.rsplit("/", 1)[0])
    assert (reply.status_code, reply.json()) == (400, {"error": "Missing model name in request."})


def test_other_methods_and_paths(http, url):
    root = url.split("/v1/")[0]
    assert (http.head(url).status_code, http.head(url).content) == (400, b"")
    assert (http.options(url, headers={"Origin": "http://a"}).status_code, http.options(url).status_code) == (200, 400)
    reply = http.get(f"{root}/v2/models/ornet")
    assert (reply.status_code, reply.headers["content-type"].split(";")[0]) == (404, "text/html")
    assert http.get(f"{root}/V1/MODELS/orne%74/versions/01").status_code == 200


def test_gzip_bodies_are_inflated_and_damaged_ones_are_empty(http, url):
    body = gzip.compress(json.dumps(NUMBERS).encode())
    headers = {"Content-Encoding": "gzip"}
    plain = http.post(f"{url}:predict", json=NUMBERS).json()
    assert http.post(f"{url}:predict", data=body, headers=headers).json() == plain
    for damaged in (body[:-12], b"plain"):
        reply = http.post(f"{url}:predict", data=damaged, headers=headers)
        assert reply.json() == {"error": "JSON Parse error: The document is empty"}
    assert local_server.inflate(gzip.compress(bytes(101 * 2**20), 1)) == b""


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


def test_the_event_loop_is_free_while_a_model_works(http, url):
    def spin():
        reply = requests.post(f"{url}:predict", json={"signature_name": "spin", "inputs": [40_000]}, timeout=30)
        return reply.status_code, time.monotonic()

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        busy = [pool.submit(spin) for _ in range(2)]
        time.sleep(0.1)
        assert http.get(url).status_code == 200
        answered = time.monotonic()
        assert all(future.result()[0] == 200 and future.result()[1] > answered for future in busy)


def test_parallel_requests_get_their_own_answers(url):
    def ask(i):
        body = {"signature_name": "numbers", "instances": [{"a": [i, i], "b": i}]}
        return requests.post(f"{url}:predict", json=body, timeout=30).json()["predictions"][0]["total"]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(64))) == [2.0 * i for i in range(64)]


def wait_for(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def test_versions_come_fail_and_go_without_a_gap(http, export, tmp_path):
    def total(path=""):
        body = {"signature_name": "numbers", "instances": [{"a": [0, 0], "b": 0}]}
        reply = http.post(f"{url}{path}:predict", json=body)
        return reply.json()["predictions"][0]["total"] if reply.status_code == 200 else reply.status_code

    def states():
        return {row["version"]: row["state"] for row in http.get(url).json()["model_version_status"]}

    shutil.copytree(export / "1", tmp_path / "1")
    with local_server.running(tmp_path, "ornet", poll_wait_seconds=0.05) as url:
        assert total() == 0.0
        tiny_export.write(tmp_path / "writing", offset=7)
        (tmp_path / "writing").rename(tmp_path / "2")
        seen = set()
        wait_for(lambda: seen.add(total()) or 7.0 in seen)
        assert seen <= {0.0, 7.0}
        assert states() == {"2": "AVAILABLE", "1": "END"}
        assert (total("/versions/2"), total("/versions/1")) == (7.0, 404)
        shutil.copytree(tmp_path / "2", tmp_path / "writing")
        (tmp_path / "writing" / "saved_model.pb").write_bytes(b"damaged")
        (tmp_path / "writing").rename(tmp_path / "3")
        wait_for(lambda: states().get("3") == "END")
        failure = http.get(f"{url}/versions/3").json()["model_version_status"][0]["status"]
        assert failure["error_code"] != "OK"
        assert failure["error_message"]
        assert (total(), states()["2"]) == (7.0, "AVAILABLE")


def test_a_model_that_does_not_load_is_an_error_at_the_start(tmp_path):
    (tmp_path / "1").mkdir()
    message = r"Version 1 in .* does not load: Expected a SavedModel"
    with pytest.raises(ValueError, match=message), local_server.running(tmp_path):
        pass


def start(*arguments):
    command = [sys.executable, "-m", "serving.local_server", "--model_name=ornet", *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_requests_finish_and_ends_with_success(export, number):
    with start(f"--model_base_path={export}", "--rest_api_port=0") as process:
        try:
            lines = []
            while not lines or "Serving " not in lines[-1]:
                lines.append(process.stdout.readline())
                assert lines[-1], "".join(lines)
            url = lines[-1].split(" at ")[-1].strip()
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                body = {"signature_name": "spin", "inputs": [30_000]}
                reply = pool.submit(requests.post, f"{url}:predict", json=body, timeout=30)
                time.sleep(0.2)
                process.send_signal(number)
                assert reply.result().json() == {"outputs": [1.0]}
            rest, _ = process.communicate(timeout=20)
            assert process.returncode == 0
            assert "Traceback" not in rest
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model_base_path={tmp}/nowhere"], "Error: Expected a folder of model versions, but {tmp}/nowhere is none."),
        (["--model_base_path={tmp}"], "Error: Expected a numbered version folder such as {tmp}/1, but found none; "),
        (["--model_base_path={tmp}", "--rest_api_port={port}"], "Error: Cannot serve on port {port} of 127.0.0.1 ("),
        (["--model_base_path={tmp}", "--rest_api_port=65536"], "Error: Expected a port in 0..65535, but got 65536; "),
        (["--model_base_path={tmp}", "--host=203.0.113.1"], "Error: Cannot serve on port 0 of 203.0.113.1 ("),
    ],
)
def test_mistakes_on_the_command_line_end_in_one_sentence(tmp_path, flags, message):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        values = {"tmp": tmp_path, "port": taken.getsockname()[1]}
        arguments = [flag.format(**values) for flag in ["--rest_api_port=0", *flags]]
        with start(*arguments) as process:
            output, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    assert output.startswith(message.format(**values))
    assert output.count("\n") == 1
