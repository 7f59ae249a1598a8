"""The local server as a program: concurrency, versions, signals, the command line."""
import concurrent.futures
import contextlib
import json
import os
import signal
import socket
import time
from http import client
from urllib.parse import urlsplit

import pytest
import requests

from serving import local_server
from tests.serving import server_program


def test_status_is_answered_while_the_model_works(http, older_url):
    def spin():
        reply = requests.post(f"{older_url}:predict", json={"signature_name": "spin", "inputs": [40_000]}, timeout=30)
        return reply.status_code, time.monotonic()

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        busy = [pool.submit(spin) for _ in range(2)]
        time.sleep(0.1)
        assert http.get(older_url).status_code == 200
        answered = time.monotonic()
        assert all(future.result()[0] == 200 and future.result()[1] > answered for future in busy)


def test_parallel_requests_get_their_own_answers(older_url):
    def ask(i):
        body = {"signature_name": "numbers", "instances": [{"a": [i, i], "b": i}]}
        return requests.post(f"{older_url}:predict", json=body, timeout=30).json()["predictions"][0]["total"]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(64))) == [2.0 * i for i in range(64)]


def test_a_model_that_does_not_load_is_an_error_at_the_start(tmp_path):
    (tmp_path / "1").mkdir()
    message = r"Version 1 in .* does not load: Expected a SavedModel"
    with pytest.raises(ValueError, match=message), local_server.running(tmp_path):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_requests_finish_and_ends_with_success(older_base, number):
    with server_program.start(f"--model_base_path={older_base}", "--rest_api_port=0") as process:
        try:
            url = server_program.model_url(process)
            connection = client.HTTPConnection(urlsplit(url).netloc, timeout=60)
            with contextlib.closing(connection):
                body = json.dumps({"signature_name": "spin", "inputs": [30_000]})
                connection.request("POST", f"{urlsplit(url).path}:predict", body)
                requests.get(url, timeout=60)  # once this is answered, the request before it has been read
                process.send_signal(number)
                assert json.loads(connection.getresponse().read()) == {"outputs": [1.0]}
            rest, _ = process.communicate(timeout=60)
            assert process.returncode == 0
            assert "Traceback" not in rest
            assert f"Ended by {number.name}." in rest
        finally:
            process.kill()


@pytest.mark.slow
def test_requests_that_take_too_long_do_not_keep_the_server_from_ending(older_base):
    flags = [f"--model_base_path={older_base}", "--rest_api_port=0"]
    with server_program.start(*flags, drain_seconds=2) as process:
        try:
            url = server_program.model_url(process)

            def spin(rounds):
                return requests.post(f"{url}:predict", json={"signature_name": "spin", "inputs": [rounds]}, timeout=120)

            begin = time.monotonic()
            assert spin(20_000).status_code == 200
            each = 1 + int(20_000 * 0.25 / (time.monotonic() - begin))  # of 0.25 s
            # Together they take some 10 s on all cores; the server waits for 2 s.
            requested = 40 * (os.cpu_count() or 1)
            with concurrent.futures.ThreadPoolExecutor(requested) as pool:
                replies = [pool.submit(spin, each) for _ in range(requested)]
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model_base_path={tmp}/nowhere"], "Error: Expected a folder of model versions, but {tmp}/nowhere is not"),
        (["--model_base_path={tmp}"], "Error: Expected a numbered version folder such as {tmp}/1, but found none; "),
        (["--model_base_path={tmp}", "--rest_api_port={port}"], "Error: Cannot serve on port {port} of 127.0.0.1 ("),
    ],
)
def test_mistakes_on_the_command_line_end_in_one_sentence(tmp_path, flags, message):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        values = {"tmp": tmp_path, "port": taken.getsockname()[1]}
        arguments = [flag.format(**values) for flag in ["--rest_api_port=0", *flags]]
        with server_program.start(*arguments) as process:
            output, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    assert output.startswith(message.format(**values))
    assert output.count("\n") == 1


@pytest.mark.parametrize(
    ("host", "port", "message"),
    [
        ("127.0.0.1", 65536, "Expected a port in 0..65535, but got 65536; "),
        ("203.0.113.1", 0, "Cannot serve on port 0 of 203.0.113.1 "),
        ("no.such.host.invalid", 0, "Expected a host of this machine, but cannot use 'no.such.host.invalid'"),
    ],
)
def test_addresses_that_cannot_be_used_are_refused(host, port, message):
    with pytest.raises((OSError, ValueError), match=message):
        local_server.bind(host, port)
