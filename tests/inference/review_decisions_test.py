"""A person reviews the predictions of a real run in a browser: keys, clicks, filters, and the file of decisions."""
import pathlib

import pytest

from ornet_tf.data import loading
from ornet_tf.inference import localize_files, localizer, run_model
from tests.inference import reviewing

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", name="predicted")
def _predicted(tiny_run, tmp_path_factory):
    """The folder of the predictions of a tiny run, and their entries, most doubtful first."""
    config, workdir = tiny_run
    images, folder = tmp_path_factory.mktemp("images"), tmp_path_factory.mktemp("predictions")
    paths = []
    for i, image in enumerate(loading.load_split(config, "test").images):
        paths.append(images / f"bird {i}.png")
        paths[-1].write_bytes(image)
    model = run_model.RunModel(localizer.load(config, workdir), config.input.crop)
    options = {"signature": "localize", "folder": str(folder), "extent": loading.view_extent(config)}
    entries = list(localize_files.localize_files(model, list(map(str, paths)), **options))
    return folder, sorted(entries, key=lambda entry: entry["box_score"])


def test_all_overlays_are_there_the_most_doubtful_first(page, predicted):
    folder, entries = predicted
    reviewing.opened(page, folder, height=1600)
    assert reviewing.names(page) == reviewing.base_names(entries)
    page.wait(lambda: page.run("return [...document.images].every(image => !image.src || image.naturalWidth)"))
    assert page.text("#count") == f"0 of {len(entries)} reviewed: 0 accepted, 0 rejected"
    reviewing.select(page, "#order", "least")
    assert reviewing.names(page) == reviewing.base_names(entries[::-1])
    assert page.log() == []


def test_keys_decide_and_move_on_and_undo(page, predicted):
    folder, entries = predicted
    reviewing.opened(page, folder)
    first, second, third = reviewing.base_names(entries[:3])
    assert page.run("return document.activeElement.id") == "list"
    assert reviewing.current(page) == first
    page.keys("a")
    assert reviewing.current(page) == second
    assert page.text("#message") == f"{first} is accepted."
    page.keys("R")
    assert reviewing.current(page) == third
    assert page.text("#count") == f"2 of {len(entries)} reviewed: 1 accepted, 1 rejected"
    assert reviewing.downloaded(page) == {"decisions": {entries[0]["file"]: "accepted", entries[1]["file"]: "rejected"}}
    page.find("#list").send_keys("u")
    assert reviewing.current(page) == second
    assert page.text("#message") == f"{second} is without decision again."
    page.keys("ArrowLeft", "r")
    assert reviewing.downloaded(page) == {"decisions": {entries[0]["file"]: "rejected"}}
    page.find("#list").send_keys("uu")
    assert reviewing.downloaded(page) == {"decisions": {}}
    page.find("#list").send_keys("u")
    assert page.text("#message") == "There is nothing to undo."
    page.keys("End", "a")
    assert reviewing.current(page) == reviewing.base_names(entries)[-1]
    assert page.text("#message").endswith(" is accepted. It was the last one.")


def test_decisions_and_what_can_be_undone_outlive_the_page(page, predicted, tmp_path):
    folder, entries = predicted
    reviewing.opened(page, folder)
    page.keys("a", "r")
    page.open((folder / "index.html").as_uri())
    assert [mark.text for mark in page.all(".card .mark") if mark.text] == ["\u2713 accepted", "\u2717 rejected"]
    page.keys("u")
    assert reviewing.downloaded(page) == {"decisions": {entries[0]["file"]: "accepted"}}
    reviewing.write(tmp_path, {"file": "another run"})
    page.open((tmp_path / "index.html").as_uri())
    assert page.text("#count") == "0 of 1 reviewed: 0 accepted, 0 rejected"


def test_filters_by_class_score_and_decision(page, predicted):
    folder, entries = predicted
    reviewing.opened(page, folder, height=1600)
    name = entries[0]["class_name"]
    chosen = [entry for entry in entries if entry["class_name"] == name]
    reviewing.select(page, "#class", f"={name}")
    assert reviewing.names(page) == reviewing.base_names(chosen)
    assert page.text("#message") == f"{len(chosen)} of {len(entries)} are shown."
    reviewing.select(page, "#class", "")
    low, high = entries[4]["box_score"], entries[8]["box_score"]
    reviewing.fill(page, "#low", str(low))
    reviewing.fill(page, "#high", str(high))
    within = [entry for entry in entries if low <= entry["box_score"] <= high]
    assert reviewing.names(page) == reviewing.base_names(within)
    reviewing.select(page, "#decision", ".")
    page.find("#list").send_keys("ar")
    assert reviewing.names(page) == reviewing.base_names(within[2:])
    assert reviewing.current(page) == reviewing.base_names(within)[2]
    reviewing.select(page, "#decision", "r")
    assert reviewing.names(page) == reviewing.base_names(within[1:2])
    page.find("#list").send_keys("a")
    assert reviewing.names(page) == [] and page.text("#nothing") == "No prediction passes these filters."
    page.find("#list").send_keys("u")
    assert reviewing.names(page) == reviewing.base_names(within[1:2])


def test_letters_in_a_field_are_no_decisions(page, predicted):
    reviewing.opened(page, predicted[0])
    page.find("#low").send_keys("ar")
    page.find("#class").send_keys("a")
    assert page.text("#count").startswith("0 of ")


def test_enter_and_click_enlarge_and_the_keys_work_there_too(page, predicted):
    folder, entries = predicted
    reviewing.opened(page, folder)
    page.keys("Enter")
    assert page.text("#name") == entries[0]["file"]
    image = page.find("#image")
    assert image.get_attribute("src") == pathlib.Path(entries[0]["overlay"]).as_uri()
    page.wait(lambda: page.run("return arguments[0].naturalWidth", image))
    score = f"{entries[0]['box_score']:.2f}"
    assert f"1 of {len(entries)}: {entries[0]['class_name']}, box score {score}, class " in page.text("#facts")
    page.keys("a", "ArrowRight", "r")
    assert page.text("#name") == entries[3]["file"]
    page.keys("u")
    assert page.text("#name") == entries[2]["file"]
    page.find("#previous").click()
    page.find("#reject").click()
    assert page.text("#name") == entries[2]["file"]
    page.keys("Escape")
    assert not page.find("#large").is_displayed()
    assert page.run("return document.activeElement.id") == "list"
    assert reviewing.downloaded(page)["decisions"] == {entries[0]["file"]: "accepted", entries[1]["file"]: "rejected"}
    page.find(f"[title='{entries[4]['file']}']").click()
    assert page.text("#name") == entries[4]["file"]
    page.find("#close").click()
    assert not page.find("#large").is_displayed()
