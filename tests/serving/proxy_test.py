"""nginx with serving/deploy/proxy/nginx.conf: which requests it passes on, and as what.

Behind it is a server that tells what it was asked: TensorFlow Serving is not here, and the local server has no labels.
"""
import base64
import contextlib
import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from concurrent import futures

import pytest
import requests

from serving import client, local_server
from tests import source_tree
from tests.serving import tiny_export

CONFIG = source_tree.ROOT / "serving" / "deploy" / "proxy" / "nginx.conf"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed (Debian: apt-get install nginx-light)")


class _Telling(http.server.BaseHTTPRequestHandler):
    """Answers with what was asked; a path that ends in /wait:predict is answered after a while."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        size = len(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        if self.path.endswith("/wait:predict"):
            time.sleep(1)
        told = {"method": self.command, "path": self.path, "size": size, "encoding": self.headers["Content-Encoding"]}
        content = json.dumps(told).encode()
        self.send_response(400 if self.path.endswith("/refused:predict") else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET

    def log_message(self, *_):
        """Says nothing."""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


@pytest.fixture(name="upstream", scope="module")
def _upstream():
    """The port of the server behind the proxy."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Telling) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def running_proxy(folder, upstream, most_requests=32, read_timeout="30s"):
    """Runs nginx with the project's configuration; only ports and the folder for its files are this machine's."""
    port = free_port()
    text, listens = re.subn(r"listen 8080;", f"listen 127.0.0.1:{port};", CONFIG.read_text())
    text, upstreams = re.subn(r"server 127\.0\.0\.1:8501;", f"server 127.0.0.1:{upstream};", text)
    text, files = re.subn(r"/tmp/", f"{folder}/", text)
    text, logs = re.subn(r"/dev/stdout", f"{folder}/access.log", text)
    text, limits = re.subn(r"limit_conn requests 32;", f"limit_conn requests {most_requests};", text)
    text, waits = re.subn(r"proxy_read_timeout 30s;", f"proxy_read_timeout {read_timeout};", text)
    assert (listens, upstreams, logs, limits, waits) == (1, 1, 1, 1, 1) and files >= 6
    (folder / "nginx.conf").write_text(text)
    # Started by root, its workers would be another user, who can't write into the tests' folders.
    settings = "daemon off;" if os.geteuid() else "daemon off; user root;"
    command = [NGINX, "-e", "stderr", "-c", folder / "nginx.conf", "-g", settings]
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
def _proxy(upstream, tmp_path_factory):
    with running_proxy(tmp_path_factory.mktemp("proxy"), upstream) as url:
        yield url


def test_the_configuration_is_one(tmp_path):
    done = subprocess.run([NGINX, "-t", "-e", "stderr", "-c", CONFIG], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("method", "path", "passed_on"),
    [
        ("POST", ":predict", "/labels/stable:predict"),
        ("POST", ":predict?a=b", "/labels/stable:predict?a=b"),  # the server refuses a query
        ("POST", "/labels/canary:predict", "/labels/canary:predict"),
        ("POST", "/labels/canary:predict?a=b", "/labels/canary:predict?a=b"),
        ("POST", "/versions/2:predict", "/versions/2:predict"),
        ("GET", "", ""),
        ("GET", "/metadata", "/labels/stable/metadata"),
        ("GET", "/labels/canary/metadata", "/labels/canary/metadata"),
        ("GET", "/versions/2", "/versions/2"),
    ],
)
def test_a_request_without_a_version_gets_the_stable_one(http, proxy, method, path, passed_on):
    reply = http.request(method, f"{proxy}/v1/models/ornet{path}", data=b"{}" if method == "POST" else None)
    assert reply.status_code == 200
    assert (reply.json()["method"], reply.json()["path"]) == (method, f"/v1/models/ornet{passed_on}")


def test_a_refusal_of_the_server_comes_through(http, proxy):
    reply = http.post(f"{proxy}/v1/models/ornet/labels/refused:predict", data="{}")
    assert (reply.status_code, reply.json()["size"]) == (400, 2)


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
    largest = {"instances": [{"b64": base64.b64encode(bytes(20_000_000)).decode()}]}
    assert http.post(url, json=largest).json()["size"] > 26_000_000
    reply = http.post(url, data=b" " * (28 * 2**20 + 1))
    assert reply.status_code == 413
    assert reply.json()["error"].startswith("The request is larger than 28 MiB;")


@pytest.mark.parametrize("path", [":predict", "/labels/canary:predict"])
def test_the_server_is_not_told_that_a_body_is_compressed(http, proxy, path):
    reply = http.post(f"{proxy}/v1/models/ornet{path}", data=b"abc", headers={"Content-Encoding": "gzip"})
    assert (reply.json()["size"], reply.json()["encoding"]) == (3, None)


def test_a_server_that_is_away_is_told_in_json(http, tmp_path):
    with running_proxy(tmp_path, free_port()) as url:
        reply = http.post(f"{url}/v1/models/ornet:predict", data="{}")
    assert (reply.status_code, reply.json()) == (503, {"error": "The model server does not answer; try again."})


def test_the_client_asks_again_until_the_server_is_back(older_base, tmp_path):
    port, image = free_port(), tiny_export.image(40, 60, (10, 12, 20, 48))
    with running_proxy(tmp_path, port) as url, futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.localize, f"{url}/v1/models/ornet/versions/1", [image])
        while not (log := (tmp_path / "access.log").read_text()) and not answer.done():
            time.sleep(0.02)
        assert not answer.done() and '" 503 ' in log
        with local_server.running(older_base, port=port):
            (found,) = answer.result(60)
    assert len(found.boxes) == 1


def test_a_server_that_is_late_is_told_as_such(http, tmp_path):
    with contextlib.ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        url = stack.enter_context(running_proxy(tmp_path, silent.getsockname()[1], read_timeout="300ms"))
        reply = http.post(f"{url}/v1/models/ornet:predict", data="{}")
    assert (reply.status_code, reply.json()) == (504, {"error": "The model server does not answer in time; try again."})


def test_more_requests_than_memory_is_for_are_told_to_come_again(upstream, tmp_path):
    with running_proxy(tmp_path, upstream, most_requests=1) as url, futures.ThreadPoolExecutor(3) as pool:
        model = f"{url}/v1/models/ornet/labels/wait:predict"
        replies = list(pool.map(lambda _: requests.post(model, data="{}", timeout=30), range(3)))
    refused = [reply for reply in replies if reply.status_code != 200]
    assert 0 < len(refused) < 3 and {reply.status_code for reply in refused} == {503}
    assert refused[0].json() == {"error": "Too many requests at once; try again."}
