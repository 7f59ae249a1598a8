"""A models.config decides which versions are served, and where labels point, also while it changes."""
import concurrent.futures
import threading
import time

import pytest

from serving.errors import RequestError
from serving.model_store import ModelStore, VersionState
from tests import models_config
from tests.published import load, publish


def test_a_configuration_takes_versions_from_canary_to_stable_and_back(tmp_path):
    config = tmp_path / "models.config"
    for name in ("1", "2", "3"):
        publish(tmp_path, name, name)
    models_config.write(config, [1], stable=1)
    store = ModelStore("ornet", tmp_path, load, config)
    store.start(poll_wait_seconds=0)
    assert store.model("ornet") == store.labelled("ornet", "stable") == (1, "1")
    with pytest.raises(RequestError, match="INVALID_ARGUMENT: Unrecognized servable version label: canary"):
        store.labelled("ornet", "canary")

    models_config.write(config, [1, 2], stable=1, canary=2)
    store.poll()
    assert (store.labelled("ornet", "stable"), store.labelled("ornet", "canary")) == ((1, "1"), (2, "2"))
    assert store.model("ornet") == (2, "2")  # without a label: the highest number
    models_config.write(config, [1, 2], stable=2, canary=2)
    store.poll()
    assert store.labelled("ornet", "stable") == (2, "2")
    models_config.write(config, [1, 2], stable=1, canary=2)
    store.poll()
    assert store.labelled("ornet", "stable") == (1, "1")
    models_config.write(config, [1], stable=1)
    store.poll()
    assert store.states("ornet") == {2: VersionState("END"), 1: VersionState("AVAILABLE")}
    with pytest.raises(RequestError, match="Unrecognized servable version label: canary"):
        store.labelled("ornet", "canary")
    with pytest.raises(RequestError, match="Unrecognized servable version label: stable"):
        store.labelled("other", "stable")


def test_labels_move_all_or_none_and_only_to_versions_that_load(tmp_path, caplog):
    config = tmp_path / "models.config"
    publish(tmp_path, "1", "one")
    models_config.write(config, [1], stable=1)
    store = ModelStore("ornet", tmp_path, load, config)
    store.start(poll_wait_seconds=0)
    publish(tmp_path, "2", "broken")
    models_config.write(config, [1, 2], stable=2, canary=1)
    store.poll()
    assert "not available: {'stable': 2}" in caplog.text
    assert store.labelled("ornet", "stable") == (1, "one")
    with pytest.raises(RequestError, match="label: canary"):
        store.labelled("ornet", "canary")


def test_a_configuration_that_breaks_changes_nothing_until_it_is_mended(tmp_path):
    config = tmp_path / "models.config"
    for name in ("1", "2"):
        publish(tmp_path, name, name)
    models_config.write(config, [1], stable=1)
    store = ModelStore("ornet", tmp_path, load, config)
    store.start(poll_wait_seconds=0.02)
    config.write_text("model_config_list {")
    time.sleep(0.1)
    assert store.labelled("ornet", "stable") == (1, "1")
    models_config.write(tmp_path / "new", [2], stable=2)
    (tmp_path / "new").rename(config)
    deadline = time.monotonic() + 5
    while store.labelled("ornet", "stable")[0] != 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert store.labelled("ornet", "stable") == (2, "2")
    store.stop()


def test_a_label_always_answers_while_it_moves_together_with_the_versions(tmp_path):
    config = tmp_path / "models.config"
    for name in ("1", "2"):
        publish(tmp_path, name, name)
    models_config.write(config, [1], stable=1)
    store = ModelStore("ornet", tmp_path, load, config)
    store.start(poll_wait_seconds=0)
    done, seen = threading.Event(), set()

    def look():
        while not done.is_set():
            seen.add(store.labelled("ornet", "stable"))

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look)
        for i in range(400):
            models_config.write(config, [1 + i % 2], stable=1 + i % 2)
            store.poll()
        done.set()
        looking.result()
    assert seen == {(1, "1"), (2, "2")}


def test_start_says_what_is_wrong_with_the_configuration(tmp_path):
    config = tmp_path / "models.config"
    publish(tmp_path, "1", "one")
    with pytest.raises(FileNotFoundError):
        ModelStore("ornet", tmp_path, load, config).start(poll_wait_seconds=0)
    config.write_text("model_config_list {")
    with pytest.raises(ValueError, match="Cannot read .*models.config as a models.config"):
        ModelStore("ornet", tmp_path, load, config).start(poll_wait_seconds=0)
    models_config.write(config, [7])
    with pytest.raises(FileNotFoundError, match="Expected a version of .*models.config in .*, but found none"):
        ModelStore("ornet", tmp_path, load, config).start(poll_wait_seconds=0)
