"""Which version is served: newest first, old ones until a new one is there, failures told and mended."""
import shutil
import time

import pytest

from serving.errors import Code, RequestError
from serving.model_store import ModelStore, VersionState, find_versions
from tests.serving.published import load, publish


@pytest.fixture(name="store")
def _store(tmp_path):
    publish(tmp_path, "1", "one")
    store = ModelStore("ornet", tmp_path, load)
    store.start(poll_wait_seconds=0)
    return store


def test_version_folders_are_the_numbers_that_fit_int64(tmp_path):
    for name in ("7", "00123", "1a", "-1", "1.5", "tmp-8", "9223372036854775807", "9223372036854775808", "²"):
        (tmp_path / name).mkdir()
    (tmp_path / "9").write_text("a file")
    assert sorted(find_versions(tmp_path)) == [7, 123, 2**63 - 1]


def test_the_newest_version_is_served_by_number_not_by_text(tmp_path):
    for name in ("2", "9", "10"):
        publish(tmp_path, name, name)
    store = ModelStore("ornet", tmp_path, load)
    store.start(poll_wait_seconds=0)
    assert store.model("ornet") == (10, "10")
    assert list(store.states("ornet")) == [10]


def test_a_new_version_takes_over_and_the_old_one_ends(store):
    publish(store.base_path, "2", "two")
    store.poll()
    assert store.model("ornet") == (2, "two")
    assert store.states("ornet") == {2: VersionState("AVAILABLE"), 1: VersionState("END")}
    with pytest.raises(RequestError, match=r"NOT_FOUND: Servable not found for request: Specific\(ornet, 1\)"):
        store.model("ornet", 1)


def test_the_old_version_answers_while_the_new_one_loads(tmp_path):
    seen = []

    def load_slowly(path):
        if path.name == "2":
            seen.append((store.model("ornet"), store.states("ornet", 2)[2].state))
        return load(path)

    publish(tmp_path, "1", "one")
    store = ModelStore("ornet", tmp_path, load_slowly)
    store.start(poll_wait_seconds=0)
    publish(tmp_path, "2", "two")
    store.poll()
    assert seen == [((1, "one"), "LOADING")]


def test_a_broken_version_ends_with_its_message_and_is_tried_again_when_it_changes(tmp_path):
    attempts = []

    def load_and_count(path):
        attempts.append(path.name)
        return load(path)

    publish(tmp_path, "1", "one")
    store = ModelStore("ornet", tmp_path, load_and_count)
    store.start(poll_wait_seconds=0)
    publish(tmp_path, "2", "broken")
    store.poll()
    store.poll()
    assert attempts == ["1", "2"]
    assert store.model("ornet") == (1, "one")
    assert store.states("ornet", 2) == {2: VersionState("END", Code.UNKNOWN, "the file is broken")}
    (store.base_path / "2" / "saved_model.pb").write_text("mended now")
    store.poll()
    assert store.model("ornet") == (2, "mended now")
    assert store.states("ornet")[2] == VersionState("AVAILABLE")


def test_removing_the_newest_version_goes_back_to_the_one_before(store):
    publish(store.base_path, "2", "two")
    store.poll()
    shutil.rmtree(store.base_path / "2")
    store.poll()
    assert store.model("ornet") == (1, "one")


def test_what_is_loaded_stays_when_all_folders_go(store):
    shutil.rmtree(store.base_path / "1")
    store.poll()
    assert store.model("ornet", 1) == (1, "one")


def test_the_background_thread_finds_a_version_survives_a_missing_folder_and_stops(tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    publish(base, "1", "one")
    store = ModelStore("ornet", base, load)
    store.start(poll_wait_seconds=0.02)
    base.rename(tmp_path / "away")
    time.sleep(0.1)
    (tmp_path / "away").rename(base)
    publish(base, "2", "two")
    deadline = time.monotonic() + 5
    while store.model("ornet")[0] != 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert store.model("ornet") == (2, "two")
    store.stop()
    publish(base, "3", "three")
    time.sleep(0.1)
    assert store.model("ornet") == (2, "two")


def test_start_says_what_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Expected a folder of model versions, but .*nowhere is not a folder"):
        ModelStore("ornet", tmp_path / "nowhere", load).start(poll_wait_seconds=0)
    (tmp_path / "saved_model.pb").write_text("the version folder is missing")
    with pytest.raises(FileNotFoundError, match="Expected a numbered version folder such as"):
        ModelStore("ornet", tmp_path, load).start(poll_wait_seconds=0)
    publish(tmp_path, "3", "broken")
    with pytest.raises(ValueError, match=r"Version 3 in .* does not load: the file is broken"):
        ModelStore("ornet", tmp_path, load).start(poll_wait_seconds=0)


@pytest.mark.parametrize("name", ["", "a/b", "a:b"])
def test_names_that_cannot_stand_in_a_url(name, tmp_path):
    with pytest.raises(ValueError, match="Expected a model name"):
        ModelStore(name, tmp_path, load)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda store: store.model("other"), "Servable not found for request: Latest(other)"),
        (lambda store: store.model("ornet", 5), "Servable not found for request: Specific(ornet, 5)"),
        (lambda store: store.states("other"), "Could not find any versions of model other"),
        (lambda store: store.states("ornet", 5), "Could not find version 5 of model ornet"),
    ],
)
def test_what_is_not_there(store, ask, message):
    with pytest.raises(RequestError) as caught:
        ask(store)
    assert (caught.value.http_status, caught.value.message) == (404, message)
