"""What the local server alone does: limits, faults of its own, CORS."""
import shutil

import pytest

from serving import local_server, rest_api, saved_model

NUMBERS = {"signature_name": "numbers", "instances": [{"a": [1, 2.5], "b": 3}]}


def test_a_body_that_is_too_large_is_refused_and_the_connection_stays(http, older_url, monkeypatch):
    monkeypatch.setattr(rest_api, "MAX_BODY_BYTES", 2**20)
    reply = http.post(f"{older_url}:predict", data=b" " * (2**20 + 1))
    assert (reply.status_code, reply.json()) == (413, {"error": "The request is larger than 1 MiB; send fewer images."})
    assert http.post(f"{older_url}:predict", json=NUMBERS).status_code == 200


def test_a_fault_of_the_server_is_reported_without_its_details(http, older_url, monkeypatch):
    def fail(*_):
        raise KeyError("a secret")

    monkeypatch.setattr(saved_model.SavedModel, "run", fail)
    reply = http.post(f"{older_url}:predict", json=NUMBERS)
    assert (reply.status_code, reply.json()) == (500, {"error": "The server failed: KeyError"})


@pytest.mark.parametrize("name", ["signature_name", "x"])
def test_messages_quote_little_of_the_request(http, older_url, name):
    body = {"signature_name": "checked", "inputs": ["x"], name: "x" * 10_000}
    reply = http.post(f"{older_url}:predict", json=body)
    assert reply.status_code == 400 and len(reply.json()["error"]) < 1100
    reply = http.get(older_url + "x" * 10_000)
    assert reply.status_code == 404 and len(reply.json()["error"]) < 1100


@pytest.mark.parametrize("version", ["one", "1.0", "\u0661", "9" * 9000])
def test_versions_that_are_no_numbers_are_refused(http, older_url, version):
    reply = http.get(f"{older_url}/versions/{version}")
    assert (reply.status_code, list(reply.json())) == (400, ["error"])


def test_pages_of_other_origins_may_ask_only_where_that_is_allowed(http, older_base):
    preflight = {"Origin": "http://a", "Access-Control-Request-Method": "POST"}
    preflight["Access-Control-Request-Headers"] = "content-type"
    for cors in (False, True):
        with local_server.running(older_base, cors=cors, poll_wait_seconds=0) as url:
            replies = [
                http.options(f"{url}:predict", headers=preflight),
                http.post(f"{url}:predict", json=NUMBERS, headers=preflight),
                http.post(f"{url}:predict", json={}, headers=preflight),
            ]
        assert [reply.status_code for reply in replies] == [200 if cors else 400, 200, 400]
        allowed = {reply.headers.get("Access-Control-Allow-Origin") for reply in replies}
        assert allowed == ({"*"} if cors else {None})


@pytest.mark.parametrize(
    ("content", "extent"),
    [
        ('{"map_extent": [0, 0.1, 1, 0.9]}', [0, 0.1, 1, 0.9]),
        ('{"map_extent": "abc"}', None),
        ('{"map_extent": [0, 1]}', None),
        ("{}", None),
        ("[1]", None),
        ("{", None),
    ],
)
def test_a_damaged_provenance_stops_no_server(older_base, tmp_path, content, extent):
    shutil.copytree(older_base / "1", tmp_path / "1")
    (tmp_path / "1" / "assets").mkdir(exist_ok=True)
    (tmp_path / "1" / "assets" / "provenance.json").write_text(content)
    assert saved_model.SavedModel(tmp_path / "1").map_extent == extent
