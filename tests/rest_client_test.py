"""The REST client against the real local server, and against servers that fail."""
import datetime
import email.utils
import json
import socket
import threading

import pytest

from ornet_tf.inference import loaded
from serving import local_server, rest_client
from serving.errors import PictureRefusedError
from tests import faulty_http, models_config, tiny_contract
from tests.tiny_contract import rest_model

BUSY = b'{"error": "queue full"}'
BOX = b'{"outputs": {"detection_boxes": [[[0, 0, 1, 1]]], "num_detections": [%s]}}'


@pytest.fixture(name="url", scope="module")
def _url(export_base):
    with local_server.running(export_base, "ornet") as url:
        yield url


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


def test_a_label_may_be_asked(export_base, url, tmp_path):
    models_config.write(tmp_path / "models.config", [1], canary=1)
    with local_server.running(export_base, "ornet", config_file=tmp_path / "models.config") as labelled:
        tiny_contract.expect_same(
            ask(labelled + "/labels/canary", tiny_contract.images()), ask(url, tiny_contract.images())
        )
        with pytest.raises(ValueError, match="refuses with HTTP 400: Unrecognized .* label: stable"):
            ask(labelled + "/labels/stable", [b"x"])


def test_one_version_may_be_asked_and_no_images_are_no_request(url):
    with rest_model(url + "/versions/1") as model:
        assert len(model.localize(tiny_contract.images())) == 5
    with rest_model("http://127.0.0.1:1/v1/models/ornet") as model:
        assert model.localize([]) == []


@pytest.mark.parametrize(
    "faults",
    [
        [(503, {}, BUSY), (429, {}, BUSY), (504, {}, b"<html>gateway</html>")],
        [None, None, None],
        [(503, {"Retry-After": "0"}, BUSY), None, (200, {"Content-Length": "900"}, b'{"outputs"')],
    ],
)
def test_what_may_pass_is_tried_again_with_the_same_request(url, faults):
    images = tiny_contract.images()
    with faulty_http.running(faults, url) as (address, bodies), rest_model(address, timeout=3) as model:
        answers = model.localize(images)
    with rest_model(url) as model:
        tiny_contract.expect_same(answers, model.localize(images))
    assert len(bodies) == len(faults) + 1 and len(set(bodies)) == 1


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ((503, {}, BUSY), ValueError, r"refuses with HTTP 503: queue full Tried 4 times\."),
        (None, ConnectionError, r"No server answers at http://127.* Tried 4 times\."),
    ],
)
def test_attempts_end(fault, error, message):
    with faulty_http.running([fault] * 9) as (address, bodies), rest_model(address) as model:
        with pytest.raises(error, match=message):
            model.localize([b"x"])
        assert len(bodies) == 4


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 409, 413, 500, 501])
def test_other_statuses_are_final(status):
    fault = (status, {"Location": "http://127.0.0.1:1/"}, b'{"error": "no"}')
    with faulty_http.running([fault] * 9) as (address, bodies), rest_model(address) as model:
        with pytest.raises(ValueError, match=f"refuses with HTTP {status}: no$") as caught:
            model.localize([b"x"])
        assert len(bodies) == 1
    assert isinstance(caught.value, PictureRefusedError) == (status in (400, 413))


def test_a_server_that_wants_more_rest_than_there_is_time_is_left_alone():
    fault = (503, {"Retry-After": "3600"}, BUSY)
    with faulty_http.running([fault] * 9) as (address, bodies), rest_model(address) as model:
        with pytest.raises(ValueError, match="queue full$"):
            model.localize([b"x"])
        assert len(bodies) == 1


def test_retry_after_is_a_number_or_a_date():
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=1000)
    assert 900 < rest_client._retry_after(email.utils.format_datetime(soon, usegmt=True)) <= 1000
    assert rest_client._retry_after("7") == 7.0
    for text in ("", "soon", "-3", "\xb2", "Mon, 01 Jan 2001 00:00:00 GMT"):
        assert rest_client._retry_after(text) == 0.0, text


def test_long_error_texts_are_cut_and_not_read_to_the_end(url):
    with rest_model(url) as model, pytest.raises(PictureRefusedError, match="HTTP 400: JSON Value: ") as caught:
        model.localize([b"x" * 100_000], signature="numbers")  # its message echoes the whole image
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
        (BOX % b"1e400", "but num_detections holds a number that is none of int64; is it the model"),
        (BOX % b"100000000000000000000000", "but num_detections holds a number that is none of int64; is it the model"),
        (b'{"outputs": {"detection_boxes": 3}}', r"but detection_boxes has the shape \[\] instead of \[1, any, 4\]"),
        (b'{"outputs": {"a_bytes": [{"b64": "?"}, 1]}}', "but got .*a_bytes"),
    ],
)
def test_replies_that_are_no_detections(content, message):
    with faulty_http.running([(200, {}, content)]) as (address, bodies), rest_model(address) as model:
        with pytest.raises(ValueError, match=message):
            model.localize([b"x"])
        assert len(bodies) == 1


def test_a_server_that_never_answers():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/m"
        with rest_model(address, timeout=0.1) as model, pytest.raises(TimeoutError, match=r"within 0\.1 s; .* 4 times"):
            model.localize([b"x"])


@pytest.mark.parametrize("pause", [0.05, 5.0])
def test_an_answer_that_arrives_too_slowly(pause):
    done = threading.Event()

    def trickle():
        while not done.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            with connection:
                connection.recv(2**16)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b" " * 2**16)
                while not done.wait(pause):
                    try:
                        connection.sendall(b" " * 100)
                    except OSError:
                        break

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        thread = threading.Thread(target=trickle)
        thread.start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/m"
        try:
            retries = tiny_contract.Retries(attempts=1)
            with rest_model(address, timeout=0.4, retries=retries) as model, pytest.raises(TimeoutError, match="0.4 s"):
                model.localize([b"x"])
        finally:
            done.set()
            thread.join()


def test_a_server_that_is_not_there():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    message = rf"No server answers at http://127.0.0.1:{port}/m \(Connection refused\); .* Tried 4 times\."
    with rest_model(f"http://127.0.0.1:{port}/m") as model, pytest.raises(ConnectionError, match=message):
        model.localize([b"x"])


def test_closing_ends_the_waiting():
    with faulty_http.running([(503, {"Retry-After": "60"}, BUSY)] * 9) as (address, bodies):
        retries = tiny_contract.Retries(deadline=3600)
        with rest_model(address, retries=retries) as model:
            failures = []

            def ask():
                try:
                    model.localize([b"x"])
                except ValueError as error:
                    failures.append(error)

            thread = threading.Thread(target=ask)
            thread.start()
            while not bodies:
                thread.join(0.01)
        thread.join(30)
        assert not thread.is_alive() and len(failures) == len(bodies) == 1


def test_the_request_is_what_the_documentation_says():
    with faulty_http.running([(200, {}, b"{}")]) as (address, bodies), pytest.raises(ValueError, match="but got {}"):
        ask(address, [b"abc", b"d"], signature="localize")
    assert json.loads(bodies[0]) == {"signature_name": "localize", "inputs": [{"b64": "YWJj"}, {"b64": "ZA=="}]}
