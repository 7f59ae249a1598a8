"""The REST client against the real local server, and against servers that fail."""
import json
import socket
import threading
import time

import pytest

from ornet_tf.errors import ImageRefusedError
from serving import loaded, local_server, rest_client
from tests.serving import faulty_http, tiny_contract
from tests.serving.tiny_contract import rest_model

BUSY = b'{"error": "queue full"}'
BOX = b'{"outputs": {"detection_boxes": [[[0, 0, 1, 1]]], "num_detections": [%s]}}'


@pytest.fixture(name="url")
def _url(export_url):
    return export_url


def ask(address, images, **options):
    with rest_model(address) as model:
        return model.localize(images, **options)


@pytest.mark.parametrize("signature", tiny_contract.SIGNATURES)
def test_the_numbers_are_those_of_the_model_itself(export_base, url, signature):
    images = tiny_contract.images()
    with rest_model(url + "/") as model:
        answers = model.localize(images, signature=signature)
    tiny_contract.expect_same(answers, loaded.load(export_base).localize(images, signature=signature))
    assert (answers[0].activation_map is None) == ("map" not in signature)
    assert answers[2].status == "" and len(answers[2].boxes) == 2


def test_one_version_may_be_asked_and_no_images_are_no_request(url):
    with rest_model(url + "/versions/1") as model:
        assert len(model.localize(tiny_contract.images())) == 5
    with rest_model("http://127.0.0.1:1/v1/models/ornet") as model:
        assert model.localize([]) == []


@pytest.mark.parametrize("fault", [(503, {}, BUSY), (429, {}, BUSY), (504, {}, b"<html>gateway</html>"), None])
def test_a_failure_that_may_pass_is_tried_again_with_the_same_request(url, fault):
    images = tiny_contract.images()
    with faulty_http.running([fault], url) as (address, bodies), rest_model(address, timeout=3) as model:
        answers = model.localize(images)
    with rest_model(url) as model:
        tiny_contract.expect_same(answers, model.localize(images))
    assert len(bodies) == 2 and len(set(bodies)) == 1


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ((503, {}, BUSY), ValueError, "refuses with HTTP 503: queue full$"),
        (None, ConnectionError, "No server answers at http://127.*; start one, or name another address[.]$"),
    ],
)
def test_attempts_end(fault, error, message):
    with faulty_http.running([fault] * 9) as (address, bodies), rest_model(address) as model:
        with pytest.raises(error, match=message):
            model.localize([b"x"])
        assert len(bodies) == tiny_contract.ATTEMPTS


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 409, 413, 500, 501])
def test_other_statuses_are_final(status):
    fault = (status, {"Location": "http://127.0.0.1:1/"}, b'{"error": "no"}')
    with faulty_http.running([fault] * 9) as (address, bodies), rest_model(address) as model:
        with pytest.raises(ValueError, match=f"refuses with HTTP {status}: no$") as caught:
            model.localize([b"x"])
        assert len(bodies) == 1
    assert isinstance(caught.value, ImageRefusedError) == (status in (400, 413))


def test_long_error_texts_are_cut_and_not_read_to_the_end(url):
    with rest_model(url) as model, pytest.raises(ImageRefusedError, match="HTTP 400: ") as caught:
        model.localize([b"x" * 100_000], signature="numbers")
    assert len(str(caught.value)) < 500
    huge = b'{\n    "error": "' + b"A" * 10**8 + b'"\n}'
    with faulty_http.running([(400, {}, huge)]) as (address, _), pytest.raises(ValueError, match=": AAAA") as caught:
        ask(address, [b"x"])
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hello", "Expected detections from http.*, but got hello; is it the model that ornet_tf.export wrote"),
        (b"[" * 10**6, r"but got \[\[\[.* \.\.\.; is it the model"),
        (b'{"predictions": []}', "but got .*predictions"),
        (b'{"outputs": [1.0]}', "but got .*outputs"),
        (b'{"outputs": [[1, 2], [3, 4]]}', r"but got .*outputs.*\[3, 4\]\]}; is it the model"),
        (b'{"outputs": [["a", 2]]}', "but got .*outputs"),
        (b'{"outputs": null}', "but got .*outputs"),
        (BOX % b"1e400", "but num_detections holds a number that int64 cannot represent"),
        (BOX % b"100000000000000000000000", "but num_detections holds a number that int64 cannot represent"),
        (b'{"outputs": {"detection_boxes": 3}}', r"but detection_boxes has the shape \[\] instead of \[1, any, 4\]"),
        (b'{"outputs": {"a_bytes": [{"b64": "?"}, 1]}}', "but got .*a_bytes"),
    ],
)
def test_replies_that_are_no_detections(content, message):
    with faulty_http.running([(200, {}, content)]) as (address, bodies), rest_model(address) as model:
        with pytest.raises(ValueError, match=message):
            model.localize([b"x"])
        assert len(bodies) == 1


def test_the_client_waits_for_a_server_that_starts(export_base):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    found = []
    with rest_model(f"http://127.0.0.1:{port}/v1/models/ornet", attempts=5) as model:
        thread = threading.Thread(target=lambda: found.extend(model.localize(tiny_contract.images())))
        thread.start()
        time.sleep(0.5)
        with local_server.running(export_base, "ornet", port=port):
            thread.join(60)
    assert len(found) == 5


def test_the_server_is_not_waited_for_longer_than_the_limit(monkeypatch):
    monkeypatch.setattr(rest_client, "_MAX_WAIT_SECONDS", 0.2)
    fault = (503, {"Retry-After": "3600"}, BUSY)
    begin = time.monotonic()
    with faulty_http.running([fault] * 9) as (address, bodies), rest_model(address) as model:
        with pytest.raises(ValueError, match="queue full$"):
            model.localize([b"x"])
        assert len(bodies) == 2
    assert time.monotonic() - begin < 20


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"], ids=["none", "half"])
def test_a_server_that_does_not_answer_in_time(answer):
    done = threading.Event()

    def serve():
        connection, _ = listener.accept()
        with connection:
            connection.recv(2**16)
            connection.sendall(answer)
            done.wait(30)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/m"
        try:
            options = {"timeout": 0.2, "attempts": 1}
            with rest_model(address, **options) as model, pytest.raises(TimeoutError, match=r"within 0\.2 s"):
                model.localize([b"x"])
        finally:
            done.set()
            thread.join()


def test_a_server_that_is_not_there():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    message = rf"No server answers at http://127.0.0.1:{port}/m \(Connection refused\); start one"
    with rest_model(f"http://127.0.0.1:{port}/m") as model, pytest.raises(ConnectionError, match=message):
        model.localize([b"x"])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"attempts": 0}, "at least one attempt, but got 0"), ({"timeout": 0.0}, "above 0, but got 0")],
)
def test_numbers_out_of_range(options, message):
    with pytest.raises(ValueError, match=message), rest_model("http://127.0.0.1:1/m", **options):
        pass


def test_the_request_is_what_the_documentation_says():
    with faulty_http.running([(200, {}, b"{}")]) as (address, bodies), pytest.raises(ValueError, match="but got {}"):
        ask(address, [b"abc", b"d"], signature="localize")
    assert json.loads(bodies[0]) == {"signature_name": "localize", "inputs": [{"b64": "YWJj"}, {"b64": "ZA=="}]}
