"""nginx with serving/deploy/proxy/nginx.conf in front of a real server: what it lets through, and what not."""
import base64
import contextlib
import gzip
import json
import re
import shutil
import socket
import subprocess
import time
from concurrent import futures
from urllib.parse import urlsplit

import pytest
import requests

from serving import client, local_server
from serving.retries import Retries
from tests import models_config, source_tree, tiny_export

CONFIG = source_tree.ROOT / "serving" / "deploy" / "proxy" / "nginx.conf"
NUMBERS = {"signature_name": "numbers", "instances": [{"a": [0, 0], "b": 0}]}
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed (Debian: apt-get install nginx-light)")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


@pytest.fixture(name="base", scope="module")
def _base(tmp_path_factory):
    """The folder of versions 1, stable, and 2, canary."""
    base = tmp_path_factory.mktemp("export")
    tiny_export.write(base / "1", offset=1)
    tiny_export.write(base / "2", offset=2)
    models_config.write(base / "models.config", [1, 2], stable=1, canary=2)
    return base


@pytest.fixture(name="server", scope="module")
def _server(base):
    """The server's URL, without the proxy."""
    with local_server.running(base, "ornet", config_file=base / "models.config") as url:
        yield url


@contextlib.contextmanager
def running_proxy(folder, upstream, most_requests=32, read_timeout="30s"):
    """Runs nginx with the project's configuration; only ports and the folder for its files are this machine's."""
    folder.chmod(0o777)  # nginx's workers run as another user when it is started by root
    for parent in folder.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o011)
    port = free_port()
    text, listens = re.subn(r"listen 8080;", f"listen 127.0.0.1:{port};", CONFIG.read_text())
    text, upstreams = re.subn(r"server 127\.0\.0\.1:8501;", f"server 127.0.0.1:{upstream};", text)
    text, files = re.subn(r"/tmp/", f"{folder}/", text)
    text, logs = re.subn(r"/dev/stdout", f"{folder}/access.log", text)
    text, limits = re.subn(r"limit_conn requests 32;", f"limit_conn requests {most_requests};", text)
    text, waits = re.subn(r"proxy_read_timeout 30s;", f"proxy_read_timeout {read_timeout};", text)
    assert (listens, upstreams, logs, limits, waits) == (1, 1, 1, 1, 1) and files >= 6
    (folder / "nginx.conf").write_text(text)
    command = [NGINX, "-e", "stderr", "-c", folder / "nginx.conf", "-g", "daemon off;"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline and process.poll() is None:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                time.sleep(0.02)
            assert process.poll() is None, process.stderr.read()
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


@pytest.fixture(name="proxy", scope="module")
def _proxy(server, tmp_path_factory):
    with running_proxy(tmp_path_factory.mktemp("proxy"), urlsplit(server).port) as url:
        yield url


def test_the_configuration_is_one(tmp_path):
    done = subprocess.run([NGINX, "-t", "-e", "stderr", "-c", CONFIG], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_request_without_a_version_gets_the_stable_one(http, server, proxy):
    def total(url):
        reply = http.post(url, json=NUMBERS)
        assert reply.status_code == 200, reply.text
        return reply.json()["predictions"][0]["total"]

    model = f"{proxy}/v1/models/ornet"
    assert total(f"{server}:predict") == 2.0  # the server's own rule: the highest number
    assert total(f"{model}:predict") == 1.0
    assert [total(f"{model}/labels/{label}:predict") for label in ("stable", "canary")] == [1.0, 2.0]
    assert [total(f"{model}/versions/{version}:predict") for version in (1, 2)] == [1.0, 2.0]
    for path in (":predict", "/labels/stable:predict"):  # a query is no part of any route, as without the proxy
        reply = http.post(f"{model}{path}?a=b", json=NUMBERS)
        assert reply.json() == {"error": "Malformed request: POST /v1/models/ornet/labels/stable:predict?a=b"}
    assert http.get(f"{model}/metadata").json()["model_spec"]["version"] == "1"
    assert http.get(f"{model}/labels/canary/metadata").json()["model_spec"]["version"] == "2"
    assert [row["state"] for row in http.get(model).json()["model_version_status"]] == ["AVAILABLE"] * 2


def test_an_image_is_answered_as_without_the_proxy(http, server, proxy):
    image = base64.b64encode(tiny_export.image(40, 60, (10, 12, 20, 48))).decode()
    body = {"signature_name": "activation_map", "instances": [{"b64": image}]}
    replies = [http.post(f"{url}:predict", json=body) for url in (server, f"{proxy}/v1/models/ornet")]
    assert replies[0].status_code == 200 and replies[0].json() == replies[1].json()


def test_a_refusal_of_the_server_comes_through(http, proxy):
    reply = http.post(f"{proxy}/v1/models/ornet:predict", data="{}")
    assert (reply.status_code, reply.json()) == (400, {"error": "Missing 'inputs' or 'instances' key"})
    reply = http.post(f"{proxy}/v1/models/ornet/versions/3:predict", json=NUMBERS)
    assert (reply.status_code, reply.json()["error"][:18]) == (404, "Servable not found")


@pytest.mark.parametrize(
    "path",
    [
        "/monitoring/prometheus/metrics",
        "/v1/models/ornet/../../../monitoring/prometheus/metrics",
        "/v1/models/ornet/%2e%2e/%2e%2e/%2e%2e/monitoring/prometheus/metrics",
        "/MONITORING/prometheus/metrics",
        "/",
        "/v1/models",
        "/v1/models/other",
        "/v1/models/ornet/versions/1/labels/stable",
        "/v1/models/ornet/labels/a-b/metadata",
    ],
)
def test_other_routes_are_unknown(proxy, path):
    # Not with `requests`, which tidies a path up.
    host, port = proxy.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        reply = b"".join(iter(lambda: connection.recv(4096), b"")).decode()
    assert reply.startswith("HTTP/1.1 404 ")
    assert json.loads(reply.split("\r\n\r\n")[1]) == {"error": "Unknown route."}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ":predict"), ("PUT", ":predict"), ("OPTIONS", ":predict"), ("GET", "/labels/canary:predict"),
        ("POST", ""), ("POST", "/metadata"), ("DELETE", "/versions/1"),
    ],
)  # fmt: skip
def test_other_methods_are_refused(http, proxy, method, path):
    reply = http.request(method, f"{proxy}/v1/models/ornet{path}")
    assert (reply.status_code, reply.json()) == (405, {"error": "POST for :predict, GET for the rest."})


@pytest.mark.parametrize("path", [":predict", "/labels/canary:predict"])
def test_large_bodies_are_refused_and_the_largest_image_is_not(http, proxy, path):
    url = f"{proxy}/v1/models/ornet{path}"
    largest = {"signature_name": "echo", "instances": [{"b64": base64.b64encode(bytes(20_000_000)).decode()}]}
    assert http.post(url, json=largest).json() == {"predictions": ["\0"]}
    reply = http.post(url, data=b" " * (28 * 2**20 + 1))
    assert reply.status_code == 413
    assert reply.json()["error"].startswith("The request is larger than 28 MiB;")


def test_compressed_bodies_are_not_unpacked(http, server, proxy):
    headers = {"Content-Encoding": "gzip"}
    packed = gzip.compress(json.dumps(NUMBERS).encode())
    plain = json.dumps(NUMBERS)
    model = f"{proxy}/v1/models/ornet"
    assert http.post(f"{server}:predict", data=packed, headers=headers).status_code == 200
    for path in (":predict", "/labels/canary:predict"):
        assert http.post(f"{model}{path}", data=packed, headers=headers).status_code == 400
        assert http.post(f"{model}{path}", data=plain, headers=headers).status_code == 200
    assert http.post(f"{server}:predict", data=plain, headers=headers).status_code == 400


def test_a_server_that_is_away_is_told_in_json(http, tmp_path):
    with running_proxy(tmp_path, free_port()) as url:
        reply = http.post(f"{url}/v1/models/ornet:predict", json=NUMBERS)
    assert (reply.status_code, reply.json()) == (503, {"error": "The model server does not answer; try again."})


def test_the_client_asks_again_until_the_server_is_back(base, tmp_path):
    port, image = free_port(), tiny_export.image(40, 60, (10, 12, 20, 48))
    patient = Retries(attempts=1000, first_wait=0.1, longest_wait=0.2, deadline=60)
    with running_proxy(tmp_path, port) as url, futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.localize, f"{url}/v1/models/ornet", [image], retries=patient)
        while not (log := (tmp_path / "access.log").read_text()) and not answer.done():
            time.sleep(0.02)
        assert not answer.done() and '" 503 ' in log
        with local_server.running(base, "ornet", config_file=base / "models.config", port=port):
            found, = answer.result(60)
    assert len(found.boxes) == 1


def test_a_server_that_is_late_is_told_as_such(http, tmp_path):
    with contextlib.ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        url = stack.enter_context(running_proxy(tmp_path, silent.getsockname()[1], read_timeout="300ms"))
        reply = http.post(f"{url}/v1/models/ornet:predict", json=NUMBERS)
    assert (reply.status_code, reply.json()) == (504, {"error": "The model server does not answer in time; try again."})


def test_more_requests_than_memory_is_for_are_told_to_come_again(http, server, tmp_path):
    with running_proxy(tmp_path, urlsplit(server).port, most_requests=1) as url:
        model = f"{url}/v1/models/ornet"

        def work():
            body = {"signature_name": "spin", "inputs": [40_000]}
            reply = requests.post(f"{model}:predict", json=body, timeout=30)
            return work() if reply.status_code == 503 else reply  # the other one was there first

        with futures.ThreadPoolExecutor(1) as pool:
            working = pool.submit(work)
            replies = []
            while not working.done():
                replies.append(http.get(model))
                time.sleep(0.01)
    refused = [reply for reply in replies if reply.status_code != 200]
    assert refused and {reply.status_code for reply in refused} == {503}
    assert refused[0].json() == {"error": "Too many requests at once; try again."}
    assert working.result().json() == {"outputs": [1.0]}
