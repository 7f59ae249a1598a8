"""The contract of any server with an export, part 5: what depends on how it was started: labels, CORS headers."""
import concurrent.futures

import pytest

from tests import contract_server, models_config, source_tree, tiny_export
from tests.contract_server import b64, expect_error, wait_for

pytestmark = pytest.mark.slow
NUMBERS = {"signature_name": "numbers", "instances": [{"a": [1, 2.5], "b": 3}]}
PIXELS = {"signature_name": "image_tensor", "instances": [[[[9, 9, 9]] * 2] * 2]}
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}


@pytest.fixture(name="folder", scope="module")
def _folder(tmp_path_factory):
    """A folder of two versions that answer differently, and a models.config."""
    folder = tmp_path_factory.mktemp("options")
    tiny_export.write(folder / "1")
    tiny_export.write(folder / "2", offset=7)
    models_config.write(folder / "models.config", [1, 2], stable=1, canary=2)
    return folder


@pytest.fixture(name="own", scope="module")
def _own(folder):
    """A local server with two versions, their labels, and CORS headers."""
    if contract_server.given() is not None:
        pytest.skip("starts a server with options; ORNET_SERVING_URL names one that runs already")
    config = f"--model_config_file={folder / 'models.config'}"
    with contract_server.started(folder, config, "--rest_api_enable_cors_support") as server:
        yield server


@pytest.fixture(name="batched", scope="module")
def _batched(folder):
    """A local server that puts requests together as the deployment does."""
    if contract_server.given() is not None:
        pytest.skip("starts a server with options; ORNET_SERVING_URL names one that runs already")
    file = source_tree.ROOT / "serving" / "deploy" / "batching_parameters.txt"
    with contract_server.started(folder, "--enable_batching", f"--batching_parameters_file={file}") as server:
        yield server


def total(server, at=""):
    """Returns the number that tells the versions apart."""
    reply = server.predict(NUMBERS, at)
    assert reply.status == 200, reply.body[:1000]
    return reply.document["predictions"][0]["total"]


def cors_headers(server):
    """Returns the CORS headers of replies of every kind: success, errors, OPTIONS."""
    replies = [
        server.ask("GET", "/v1/models/{model}"),
        server.ask("GET", "/v1/models/{model}:predict"),
        server.predict(b"{}", at="/versions/987654321"),
        server.ask("OPTIONS", "/v1/models/{model}:predict", headers={"Origin": "http://a"}),
        server.ask("OPTIONS", "/v1/models/{model}:predict"),
    ]
    return [{name: reply.headers[name] for name in CORS} for reply in replies]


def test_two_versions_and_their_labels_answer_side_by_side(own):
    assert own.states() == {1: "AVAILABLE", 2: "AVAILABLE"}
    for at, version, expected in (
        ("/versions/1", 1, 3.5), ("/versions/2", 2, 10.5), ("/labels/stable", 1, 3.5), ("/labels/canary", 2, 10.5),
        ("", 2, 10.5),
    ):  # fmt: skip
        assert (total(own, at), own.version(at)) == (expected, version)
    for reply in (own.predict(NUMBERS, "/labels/other"), own.ask("GET", "/v1/models/{model}/labels/other/metadata")):
        expect_error(reply, 400, "Unrecognized servable version label: other")
    assert own.get("/labels/stable") == own.get()


def test_batching_changes_no_answer(own, batched):
    files = [tiny_export.image(40, 30, (4, 5, 4 + rows, 25)) for rows in range(2, 34)]
    bodies = [{"instances": [b64(file)]} for file in files] + [{"instances": [b64(file) for file in files]}]
    bodies += [NUMBERS, {"instances": [b64(b"no image")]}, {"signature_name": "unknown", "instances": [1]}]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(batched.predict, bodies))
    assert [answer.status for answer in answers] == [200] * (len(bodies) - 2) + [400, 400]
    for answer, body in zip(answers[:-2], bodies):
        assert answer.outcome == own.predict(body).outcome


def test_requests_larger_than_a_batch_may_be_are_refused(own, batched):
    body = {"signature_name": "numbers", "instances": NUMBERS["instances"] * 65}
    assert own.predict(body).status == 200
    expect_error(batched.predict(body), 400, "Task size 65 is larger than maximum input batch size 64")


def test_labels_move_with_the_configuration(own, folder):
    for stable, expected in ((2, 10.5), (1, 3.5)):
        models_config.write(folder / "new", [1, 2], stable=stable, canary=2)
        (folder / "new").rename(folder / "models.config")
        wait_for(lambda: total(own, "/labels/stable") == expected)  # noqa: B023 - called at once
        assert total(own, "/labels/canary") == 10.5


def test_a_label_answers_as_the_version_that_it_points_at(request):
    if contract_server.given() is None:
        server, asked = request.getfixturevalue("own"), NUMBERS
    else:
        server, asked = request.getfixturevalue("served"), PIXELS
        if server.ask("GET", "/v1/models/{model}/labels/stable/metadata").status == 400:
            pytest.skip(f"the server at {server.url} has no label `stable`")
    answer = server.predict(asked, "/labels/stable")
    assert answer.status == 200
    assert answer.outcome == server.predict(asked, f"/versions/{server.version('/labels/stable')}").outcome


def test_cors_headers_are_on_all_replies_where_they_are_asked_for(own):
    assert cors_headers(own) == [CORS] * 5


def test_cors_headers_are_on_all_replies_or_on_none(served):
    assert cors_headers(served) in ([CORS] * 5, [dict.fromkeys(CORS)] * 5)
