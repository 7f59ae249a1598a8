"""The page of the local server, in a browser: images, maps, errors, keys."""
import os

import numpy as np
import pytest

from ornet_tf.data import loading
from ornet_tf.maps import visualize
from serving import client, local_server, rest_api, try_page
from tests.serving import tiny_contract, tiny_export

pytestmark = pytest.mark.slow
CELLS = "#table tbody tr:nth-child({}) td"


@pytest.fixture(scope="module", name="url")
def _url(exported):
    """The URL of the export of the tiny run on a local server."""
    with local_server.running(os.path.dirname(exported), "my birds", poll_wait_seconds=0) as url:
        yield url


@pytest.fixture(name="bird")
def _bird(tiny_run, tmp_path):
    path = tmp_path / "bird.png"
    path.write_bytes(loading.load_split(tiny_run[0], "test").images[0])
    return path


def opened(page, url):
    """Opens the page of a model's server and waits until it describes the model."""
    page.log()
    page.open(url.split("v1/models/")[0])
    page.wait(lambda: page.text("#model"))


def answer(page, name):
    """Waits for the result or the error of a file and returns it."""
    return page.wait(lambda: (text := page.text("#message")) and "Asking" not in text and name in text and text)


def choose(page, path):
    page.find("#file").send_keys(str(path))
    return answer(page, path.name)


def corners(page, selector):
    """Returns where an element lies on the image: [ymin, xmin, ymax, xmax] in fractions of it."""
    image, box = page.find("#image").rect, page.find(selector).rect
    left, top = ((box[axis] - image[axis]) / image[side] for axis, side in (("x", "width"), ("y", "height")))
    return [top, left, top + box["height"] / image["height"], left + box["width"] / image["width"]]


def test_a_chosen_image_gets_box_map_and_class(page, url, bird):
    opened(page, url)
    assert page.text("#model").startswith("Model my birds, version ")
    assert page.text("#model").endswith(".") and "map" not in page.text("#model")
    (found,) = client.localize(url, [bird], signature="activation_map")
    score = f"{found.box_scores[0]:.2f}"
    expected = f"{found.class_names[0]} in bird.png, box score {score}."
    assert choose(page, bird) == expected == page.find("#image").get_attribute("alt")
    assert page.text(".box") == f"{found.class_names[0]} {score}"
    np.testing.assert_allclose(corners(page, ".box"), found.boxes[0], atol=0.005)
    np.testing.assert_allclose(corners(page, "#map"), [2 / 36, 2 / 36, 34 / 36, 34 / 36], atol=0.005)
    drawn = page.run(
        "const map = document.getElementById('map');"
        "return [map.height, map.width, [...map.getContext('2d').getImageData(0, 0, map.width, map.height).data]];"
    )
    rgb = np.reshape(drawn[2], [*drawn[:2], 4])[..., :3]
    np.testing.assert_array_equal(rgb, visualize.heatmap(found.activation_map / 255))
    edges = [str(round(float(found.boxes[0, i]) * 32)) for i in (1, 0, 3, 2)]
    cells = [cell.text for cell in page.all(CELLS.format(1))]
    assert cells == [found.class_names[0], score, f"{found.scores[0]:.2f}", *edges]


def test_a_dropped_image_replaces_the_one_before(page, url, bird):
    opened(page, url)
    choose(page, bird)
    wide = bird.with_name("wide.png")
    wide.write_bytes(tiny_export.image(40, 160, (10, 12, 20, 48)))
    page.drop(wide, "h1")  # anywhere on the page
    assert " in wide.png, " in answer(page, "wide.png")
    image = page.find("#image").rect
    assert image["width"] == pytest.approx(4 * image["height"], abs=1)
    assert len(page.all(".box")) == 1


def test_nothing_is_loaded_from_elsewhere(page, url, bird):
    opened(page, url)
    choose(page, bird)
    loaded = page.run("return performance.getEntriesByType('resource').map(entry => entry.name)")
    remote = {name for name in loaded if not name.startswith(("blob:", "data:"))}
    assert remote == {f"{url}/metadata", f"{url}:predict"}
    assert page.log() == []
    page.run("fetch('http://127.0.0.2:1/').catch(() => {})")
    assert "Content Security Policy" in page.wait(page.log)[0]


def test_errors_are_shown_as_sentences_and_the_next_image_works(page, url, bird, monkeypatch):
    opened(page, url)
    text = bird.with_name("notes.txt")
    text.write_text("no image")
    assert choose(page, text) == "The model cannot read notes.txt: neither JPEG nor PNG."
    assert not page.find("#result").is_displayed()
    large = bird.with_name("large.png")
    large.write_bytes(bytes(2**20))
    monkeypatch.setattr(rest_api, "MAX_BODY_BYTES", 2**20)
    page.find("#file").send_keys(str(large))
    assert answer(page, "MiB") == "The request is larger than 1 MiB; send fewer images."
    assert " in bird.png, " in choose(page, bird)
    assert page.find("#result").is_displayed()


def test_a_server_that_is_gone_is_said(page, export_base, bird):
    with local_server.running(export_base, poll_wait_seconds=0) as url:
        opened(page, url)
    page.find("#file").send_keys(str(bird))
    assert answer(page, "server") == "The server does not answer. Is it running?"


def test_the_keyboard_is_enough(page, url, bird):
    opened(page, url)
    page.run("window.clicks = 0; document.getElementById('file').addEventListener('click', e => {"
             "  e.preventDefault(); window.clicks += 1; });")
    page.keys("Tab")
    assert page.run("return document.activeElement.id") == "file"
    assert page.find("#choose").value_of_css_property("outline-style") == "solid"
    page.keys(" ", "Enter")
    assert page.run("return window.clicks") == 2
    choose(page, bird)
    page.keys("Tab")
    assert page.run("return document.activeElement.id") == "opacity"
    page.keys("Home")
    assert page.find("#map").value_of_css_property("opacity") == "0"
    page.keys("End")
    assert page.find("#map").value_of_css_property("opacity") == "1"


def test_all_controls_and_results_have_names_for_screen_readers(page, url, bird):
    opened(page, url)
    choose(page, bird)
    names = {role: page.find(selector).accessible_name for role, selector in (
        ("file", "#file"), ("slider", "#opacity"), ("image", "#image"), ("region", "#result"))}
    assert names == {
        "file": "Choose an image, or drop one here (JPEG or PNG)", "slider": "Activation map",
        "image": page.text("#message"), "region": "Result",
    }  # fmt: skip
    assert page.find("#message").aria_role == "status"
    assert page.find("html").get_attribute("lang") == "en"


def test_several_objects_and_none(page, export_url, tmp_path, encode):
    opened(page, export_url)
    assert page.text("#model").endswith("does not say which part of an image it covers.")
    both, none = tmp_path / "both.png", tmp_path / "none.png"
    contents = tiny_contract.images()
    both.write_bytes(encode(contents[2]))
    none.write_bytes(encode(contents[3]))
    assert choose(page, both).endswith(", 2 boxes.")
    assert [box.text.split()[0] for box in page.all(".box")] == ["rød", "green"]
    assert [cell.text for cell in page.all(CELLS.format(2))][0] == "green"
    assert not page.find("#map").is_displayed()
    assert choose(page, none) == "Nothing was found in none.png."
    assert not page.all(".box") and not page.find("#table").is_displayed()


def test_an_export_from_before_status_and_scores_of_boxes(page, older_url, tmp_path):
    opened(page, older_url)
    path = tmp_path / "tall.png"
    path.write_bytes(tiny_export.image(64, 32, (0, 8, 64, 16)))
    assert choose(page, path) == "tall in tall.png."
    np.testing.assert_allclose(corners(page, ".box"), [0, 0.25, 1, 0.5], atol=0.005)
    path.write_text("no image")
    page.find("#file").send_keys(str(path))
    assert answer(page, "PNG")
    assert not page.find("#result").is_displayed()


def test_a_model_without_boxes_is_said(page, tmp_path):
    import tensorflow as tf

    module = tiny_export.TinyExport(0.0)
    tf.saved_model.save(module, str(tmp_path / "1"), signatures={"numbers": module.numbers})
    with local_server.running(tmp_path, poll_wait_seconds=0) as url:
        page.open(url.split("v1/models/")[0])
        assert answer(page, "signature") == "This model has no signature that takes encoded images and returns boxes."


def test_a_newer_version_asks_for_a_new_page(page, tmp_path):
    tiny_export.write(tmp_path / "exports" / "1")
    path = tmp_path / "tall.png"
    path.write_bytes(tiny_export.image(64, 32, (0, 8, 64, 16)))
    with local_server.running(tmp_path / "exports", poll_wait_seconds=0.1) as url:
        opened(page, url)
        tiny_export.write(tmp_path / "new")
        (tmp_path / "new").rename(tmp_path / "exports" / "2")
        page.wait(lambda: "version 2" in asked_again(page, path))
        assert asked_again(page, path) == "The server has loaded version 2: reload this page."
        opened(page, url)
        assert choose(page, path) == "tall in tall.png."


def asked_again(page, path):
    """Chooses a file and returns what the page says in the end."""
    page.find("#file").send_keys(str(path))
    return page.wait(lambda: (text := page.text("#message")) and "Asking" not in text and text)


def test_a_name_cannot_break_out_of_the_page():
    assert "</script><b>" not in try_page.render("</script><b>", 1, None)
