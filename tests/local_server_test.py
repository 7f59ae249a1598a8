"""The local server as a program: HTTP around the routes, concurrency, versions, signals, the command line."""
import concurrent.futures
import contextlib
import json
import shutil
import signal
import socket
import time
from http import client
from urllib.parse import urlsplit

import pytest
import requests

from serving import batching_parameters, local_server
from tests import models_config, server_program, tiny_export

NUMBERS = {"signature_name": "numbers", "instances": [{"a": [1, 2.5], "b": 3}, {"a": [-1, 0], "b": -4}]}


@pytest.fixture(name="export", scope="module")
def _export(tmp_path_factory):
    base = tmp_path_factory.mktemp("export")
    tiny_export.write(base / "1")
    return base


@pytest.fixture(name="url", scope="module")
def _url(export):
    with local_server.running(export, "ornet") as url:
        yield url


def test_other_methods_and_paths(http, url):
    root = url.split("/v1/")[0]
    assert (http.head(url).status_code, http.head(url).content) == (400, b"")
    assert (http.options(url, headers={"Origin": "http://a"}).status_code, http.options(url).status_code) == (200, 400)
    reply = http.get(f"{root}/v2/models/ornet")
    assert (reply.status_code, reply.headers["content-type"].split(";")[0]) == (404, "text/html")


def test_paths_are_matched_in_any_case_and_decoded_afterwards(url):
    # http.client, because requests decodes what needs no encoding.
    connection = client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    with contextlib.closing(connection):
        cases = (("orne%74/versions/01", 200), ("ornet%2Fversions%2F1", 404), ("orne%74/versions/%31", 400))
        for path, status in cases:
            connection.request("GET", f"/V1/Models/{path}")
            reply = connection.getresponse()
            reply.read()
            assert (path, reply.status) == (path, status)


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


@pytest.mark.parametrize("batches", [None, batching_parameters.Parameters(batch_timeout_micros=1000)])
def test_parallel_requests_get_their_own_answers(export, batches):
    def ask(i):
        body = {"signature_name": "numbers", "instances": [{"a": [i, i], "b": i}]}
        return requests.post(f"{url}:predict", json=body, timeout=30).json()["predictions"][0]["total"]

    pool = concurrent.futures.ThreadPoolExecutor(8)
    with local_server.running(export, "ornet", batches=batches) as url, pool:
        assert list(pool.map(ask, range(64))) == [2.0 * i for i in range(64)]


def test_limits_of_a_batch_are_told(http, export):
    with local_server.running(export, "ornet", batches=batching_parameters.Parameters(max_batch_size=4)) as url:
        rows = [{"a": [1, 1], "b": 1}] * 5
        reply = http.post(f"{url}:predict", json={"signature_name": "numbers", "instances": rows})
        assert (reply.status_code, reply.json()) == (
            400, {"error": "Task size 5 is larger than maximum input batch size 4"}
        )  # fmt: skip
        assert http.get(f"{url}/metadata").status_code == 200


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


def test_labels_of_a_configuration_are_asked_over_http(http, export, tmp_path):
    shutil.copytree(export / "1", tmp_path / "1")
    tiny_export.write(tmp_path / "2", offset=7)
    models_config.write(tmp_path / "models.config", [1, 2], stable=1, canary=2)
    with local_server.running(tmp_path, "ornet", config_file=tmp_path / "models.config") as url:
        for label, version, total in (("stable", "1", 3.5), ("canary", "2", 10.5)):
            reply = http.post(f"{url}/labels/{label}:predict", json=NUMBERS)
            assert reply.json()["predictions"][0]["total"] == total
            assert http.get(f"{url}/labels/{label}/metadata").json()["model_spec"]["version"] == version
        reply = http.post(f"{url}/labels/other:predict", json=NUMBERS)
        assert (reply.status_code, reply.json()) == (400, {"error": "Unrecognized servable version label: other"})


def test_a_model_that_does_not_load_is_an_error_at_the_start(tmp_path):
    (tmp_path / "1").mkdir()
    message = r"Version 1 in .* does not load: Expected a SavedModel"
    with pytest.raises(ValueError, match=message), local_server.running(tmp_path):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_requests_finish_and_ends_with_success(export, number):
    with server_program.start(f"--model_base_path={export}", "--rest_api_port=0") as process:
        try:
            url = server_program.model_url(process)
            connection = client.HTTPConnection(urlsplit(url).netloc, timeout=60)
            with contextlib.closing(connection):
                body = json.dumps({"signature_name": "spin", "inputs": [30_000]})
                connection.request("POST", f"{urlsplit(url).path}:predict", body)
                requests.get(url, timeout=60)  # When this is answered, what was sent before has been read.
                process.send_signal(number)
                assert json.loads(connection.getresponse().read()) == {"outputs": [1.0]}
            rest, _ = process.communicate(timeout=60)
            assert process.returncode == 0
            assert "Traceback" not in rest
            assert f"Ended by {number.name}." in rest
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("batching", [True, False])
def test_requests_that_take_too_long_do_not_keep_a_server_from_ending(export, tmp_path, batching):
    file = tmp_path / "batching"
    file.write_text("max_batch_size { value: 1 } num_batch_threads { value: 1 } max_enqueued_batches { value: 99 }")
    flags = ["--enable_batching", f"--batching_parameters_file={file}"] if batching else []
    with server_program.start(f"--model_base_path={export}", "--rest_api_port=0", *flags) as process:
        try:
            url = server_program.model_url(process)

            def spin(rounds):
                return requests.post(f"{url}:predict", json={"signature_name": "spin", "inputs": [rounds]}, timeout=120)

            begin = time.monotonic()
            assert spin(20_000).status_code == 200
            each = 1 + int(20_000 * 1.5 / (time.monotonic() - begin))  # of a second and a half
            # Together these take far longer than a server waits, even if the machine gets faster meanwhile.
            with concurrent.futures.ThreadPoolExecutor(90) as pool:
                replies = [pool.submit(spin, each) for _ in range(90)]
                time.sleep(1)
                process.send_signal(signal.SIGTERM)
                replies = [reply.result() for reply in replies]
            rest, _ = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 0
    assert "Traceback" not in rest
    assert {reply.status_code for reply in replies} == {200, 503}
    refused = [reply.json() for reply in replies if reply.status_code == 503]
    assert refused == [{"error": "The server is shutting down."}] * len(refused)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model_base_path={tmp}/nowhere"], "Error: Expected a folder of model versions, but {tmp}/nowhere is none."),
        (["--model_base_path={tmp}"], "Error: Expected a numbered version folder such as {tmp}/1, but found none; "),
        (
            ["--model_base_path={tmp}/export", "--model_config_file={tmp}/none"],
            "Error: Cannot read {tmp}/none: No such file or directory; is it the models.config?",
        ),
        (
            ["--model_base_path={tmp}/export", "--enable_batching", "--batching_parameters_file={tmp}/none"],
            "Error: Cannot read {tmp}/none: No such file or directory; is it the batching parameters file?",
        ),
        (
            ["--model_base_path={tmp}/export", "--batching_parameters_file={tmp}/none"],
            "Error: Expected --enable_batching with --batching_parameters_file; add it.",
        ),
        (["--model_base_path={tmp}", "--rest_api_port={port}"], "Error: Cannot serve on port {port} of 127.0.0.1 ("),
        (["--model_base_path={tmp}", "--rest_api_port=65536"], "Error: Expected a port in 0..65535, but got 65536; "),
        (["--model_base_path={tmp}", "--host=203.0.113.1"], "Error: Cannot serve on port 0 of 203.0.113.1 ("),
    ],
)
def test_mistakes_on_the_command_line_end_in_one_sentence(tmp_path, flags, message):
    (tmp_path / "export" / "1").mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        values = {"tmp": tmp_path, "port": taken.getsockname()[1]}
        arguments = [flag.format(**values) for flag in ["--rest_api_port=0", *flags]]
        with server_program.start(*arguments) as process:
            output, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    assert output.startswith(message.format(**values))
    assert output.count("\n") == 1
