"""The contract of any server with an export, part 4: versions come, fail and go, and no request of a client fails."""
import collections
import concurrent.futures
import contextlib
import threading

import pytest

from tests.serving import contract_model
from tests.serving.contract_server import expect_error, published, wait_for

pytestmark = pytest.mark.slow
ASKED = {"signature_name": "image_tensor", "instances": [[[[9, 9, 9]] * 2] * 2]}
_CLIENTS = 2


@pytest.fixture(name="publishing")
def _publishing(served):
    """The server, if this suite can publish versions for it."""
    if served.folder is None:
        pytest.skip("publishes versions: ORNET_SERVING_MODEL_DIR does not name the folder that the server watches")
    return served


@contextlib.contextmanager
def clients(server):
    """Lets several clients ask all the time, on connections that they keep; fails if a request did.

    Yields:
      A function that waits until each client has been answered some times more.
    """
    stop, answered, failed = threading.Event(), collections.Counter(), []

    def ask(client):
        with contextlib.closing(server.connection()) as connection:
            while not stop.is_set():
                try:
                    reply = server.predict(ASKED, connection=connection)
                except OSError as error:
                    failed.append(repr(error))
                    return
                if reply.status != 200:
                    failed.append((reply.status, reply.body[:300]))
                answered[client] += 1
                stop.wait(0.02)  # the server loads on the same processor

    def go_on():
        before = dict(answered)
        wait_for(lambda: failed or all(answered[i] >= before.get(i, 0) + 3 for i in range(_CLIENTS)))

    with concurrent.futures.ThreadPoolExecutor(_CLIENTS) as pool:
        running = [pool.submit(ask, client) for client in range(_CLIENTS)]
        try:
            go_on()
            yield go_on
        finally:
            stop.set()
    assert [future.result() for future in running] == [None] * _CLIENTS
    assert failed == []


def test_a_version_loads_takes_over_and_is_taken_back_without_a_failed_request(publishing, tmp_path):
    server, before = publishing, publishing.version()
    (tmp_path / "gate").write_text("closed")
    contract_model.write(tmp_path / "next", offset=7.0, gate=tmp_path / "gate")
    expected = server.predict(ASKED).outcome
    with clients(server) as go_on:
        with published(server, tmp_path / "next") as version:
            wait_for(lambda: server.states().get(version) == "LOADING")
            (row,) = server.get(f"/versions/{version}")["model_version_status"]
            assert (row["version"], row["state"]) == (str(version), "LOADING")
            assert row["status"] == {"error_code": "OK", "error_message": ""}
            assert server.states()[before] == "AVAILABLE"
            missing = server.predict(ASKED, at=f"/versions/{version}")
            expect_error(missing, 404, f"Servable not found for request: Specific({server.model}, {version})")
            expect_error(server.ask("GET", f"/v1/models/{{model}}/versions/{version}/metadata"), 404)
            assert server.version() == before
            assert server.predict(ASKED).outcome == expected
            go_on()

            contract_model.open_gate(server.folder / str(version))
            wait_for(lambda: (server.states()[version], server.states()[before]) == ("AVAILABLE", "END"))
            assert server.version() == server.version(f"/versions/{version}") == version
            numbers = {"signature_name": "numbers", "instances": [{"a": [1, 2], "b": 0}]}
            (answer,) = server.predict(numbers).document["predictions"]
            assert answer["total"] == 10.0, "the new version answers"
            expect_error(server.predict(ASKED, at=f"/versions/{before}"), 404)
            go_on()
        wait_for(lambda: (server.states()[before], server.states()[version]) == ("AVAILABLE", "END"))
        go_on()
    assert server.version() == before
    assert server.predict(ASKED).outcome == expected


def test_a_version_that_does_not_load_changes_nothing(publishing, tmp_path):
    server, before = publishing, publishing.version()
    (tmp_path / "saved_model.pb").write_bytes(b"damaged")
    with clients(server) as go_on, published(server, tmp_path) as version:
        wait_for(lambda: version in server.states())
        go_on()
        assert server.version() == before
        expect_error(server.predict(ASKED, at=f"/versions/{version}"), 404, "Servable not found for request: Specific(")
        (row,) = server.get(f"/versions/{version}")["model_version_status"]
        # TensorFlow Serving tries to load for some minutes before it gives up.
        assert row["state"] in ("START", "LOADING", "END")
        if row["state"] == "END":
            assert row["status"]["error_code"] != "OK"
            assert row["status"]["error_message"]
        assert server.states()[before] == "AVAILABLE"
