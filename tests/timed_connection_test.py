"""One limit for a whole request, against servers that are slow at each of its steps."""
import contextlib
import socket
import ssl
import subprocess
import threading
import time

import pytest
import requests

from serving import timed_connection
from tests import tiny_contract

ONCE = tiny_contract.Retries(attempts=1)
LIMIT = 0.6  # seconds
PAUSE = 0.1  # far below LIMIT: no single wait is ever late
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@contextlib.contextmanager
def slow_server(answer):
    """Calls `answer(connection, done)` for each connection, in a thread; yields HOST:PORT.

    Args:
      answer: may take for ever; `done` is an event that is set at the end.
    """
    done, threads = threading.Event(), []

    def serve(connection):
        with connection, contextlib.suppress(OSError):
            answer(connection, done)

    def listen():
        while not done.is_set():
            with contextlib.suppress(socket.timeout):
                connection, _ = listener.accept()
                threads.append(threading.Thread(target=serve, args=[connection]))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)  # of its connections: little fits unread
        threads.append(threading.Thread(target=listen))
        threads[0].start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            done.set()
            for thread in threads:
                thread.join()


def trickle(connection, done, at_once, then):
    """Reads a request and sends `at_once`, then a byte of `then` after each pause, over and over, but not for ever."""
    connection.recv(2**16)
    connection.sendall(at_once)
    for byte in (then * 30)[:30]:
        if done.wait(PAUSE):
            return
        connection.sendall(bytes([byte]))


def expect_late(url, image=b"x"):
    """Fails unless a TimeoutError comes when the time is over: neither before nor much later."""
    with tiny_contract.rest_model(url, timeout=LIMIT, retries=ONCE) as model:
        start = time.monotonic()
        with pytest.raises(TimeoutError, match=rf"No answer from {url} within {LIMIT} s; is the server busy\?$"):
            model.localize([image])
        assert LIMIT - 0.01 <= time.monotonic() - start < LIMIT + 0.5


@pytest.mark.parametrize(
    ("at_once", "then"),
    [
        (b"", b"HTTP/1.1 200 OK and on and on "),
        (b"HTTP/1.1 200 OK\r\n", b"X-Header: 1\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (HEAD, b" "),
        (CHUNKED, b"1\r\n \r\n"),
        (CHUNKED, b"0"),
        (HEAD.replace(b"200 OK", b"500 Error"), b" "),
    ],
    ids=["status", "headers", "continue", "body", "chunks", "chunk-size", "error-body"],
)
def test_an_answer_that_comes_byte_by_byte(at_once, then):
    with slow_server(lambda connection, done: trickle(connection, done, at_once, then)) as host:
        expect_late(f"http://{host}/m")


def test_a_server_that_takes_what_is_sent_little_by_little():
    def answer(connection, done):
        while not done.wait(PAUSE):
            connection.recv(2**16)

    with slow_server(answer) as host:
        expect_late(f"http://{host}/m", bytes(8 * 10**6))


def test_a_proxy_that_opens_its_tunnel_byte_by_byte(monkeypatch):
    # What is left after the tunnel is less than the whole time.
    def answer(connection, done):
        connection.recv(2**16)
        for byte in b"HTTP/1.1 200 OK\r\nVia: 1.1 a-proxy\r\n\r\n":
            if done.wait(PAUSE):
                return
            connection.sendall(bytes([byte]))

    with slow_server(answer) as host:
        monkeypatch.setenv("https_proxy", f"http://{host}")
        expect_late("https://ornet.test/m")


@pytest.fixture(name="certificate", scope="module")
def _certificate(tmp_path_factory):
    """The file with a key and a certificate for 127.0.0.1."""
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"]
    options = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(file), "-out", f"{file}.crt"]
    try:
        subprocess.run([*command, *options], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    with file.open("a") as both:
        both.write(file.with_name("server.pem.crt").read_text())
    return file


@pytest.mark.parametrize("at_once", [b"", HEAD], ids=["headers", "body"])
def test_over_tls(certificate, at_once):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def answer(connection, done):
        with context.wrap_socket(connection, server_side=True) as encrypted:
            trickle(encrypted, done, at_once, b"HTTP/1.1 200 OK and on and on ")

    with slow_server(answer) as host, requests.Session() as session:
        session.trust_env = False
        session.mount("https://", timed_connection.TimedAdapter())
        start = time.monotonic()
        with pytest.raises(requests.RequestException, match="timed out"):
            session.get(f"https://{host}/", verify=str(certificate), timeout=LIMIT)
        assert LIMIT - 0.01 <= time.monotonic() - start < LIMIT + 0.5


def test_a_tls_handshake_that_never_comes():
    with slow_server(lambda connection, done: done.wait()) as host:
        expect_late(f"https://{host}/m")


def test_a_connection_that_is_kept_has_the_whole_time_for_each_request():
    def answer(connection, done):
        for _ in range(3):
            connection.recv(2**16)
            if done.wait(0.7 * LIMIT):
                return
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        connections.append(connection.getpeername())

    connections = []
    options = {"timeout": LIMIT, "retries": ONCE}
    with slow_server(answer) as host, tiny_contract.rest_model(f"http://{host}/m", **options) as model:
        for _ in range(3):
            with pytest.raises(ValueError, match="but got {}"):
                model.localize([b"x"])
    assert len(connections) == 1
