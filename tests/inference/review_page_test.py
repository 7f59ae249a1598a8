"""Which file the page for review is, and what it makes of entries of all kinds."""
import pytest

from ornet_tf.inference import review_page
from tests import broken_files
from tests.inference import reviewing


def test_a_page_of_the_user_keeps_its_name_and_ours_is_replaced(tmp_path):
    (tmp_path / "index.html").write_text("<!doctype html>\nmine")
    assert reviewing.write(tmp_path, {"file": "a"}).name == "index_2.html"
    review_page.remove(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]
    (tmp_path / "index.html").unlink()
    assert reviewing.write(tmp_path, {"file": "a"}).name == "index.html"
    (tmp_path / "mine.html").write_bytes((tmp_path / "index.html").read_bytes())
    review_page.remove(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.html"]


def test_the_key_of_the_decisions_depends_on_the_entries_and_not_on_the_folder(tmp_path):
    box, keys = [0.0, 0.0, 0.5, 0.5], []
    others = ({"box_score": 0.5}, {"box": box}, {"box": [0.1, *box[1:]]}, {"box": box, "others": [{"box": box}]})
    for number, changes in enumerate(({}, {}, *others)):
        folder = tmp_path / str(number)
        folder.mkdir()
        page = reviewing.write(folder, {"file": "x", **changes}).read_text()
        keys.append(page.split('RUN = "')[1].split('"')[0])
    assert keys[0] == keys[1] and len({*keys}) == len(keys) - 1 and len(keys[0]) == 16


def test_a_given_class_and_another_predicted_one_are_both_in_the_page(tmp_path):
    page = reviewing.write(
        tmp_path,
        {"file": "a", "class_name": "wren", "predicted_class_name": "sparrow"},
        {"file": "b", "class_name": "owl", "predicted_class_name": "owl"},
    ).read_text()
    assert page.count('"predicted_class_name":"sparrow"') == 1 and '"predicted_class_name":"owl"' not in page


@pytest.mark.slow
def test_images_without_box_or_score_are_the_most_doubtful(page, tmp_path):
    reviewing.write(
        tmp_path,
        {"file": "sure.jpg", "box": [0, 0, 1, 1], "box_score": 0.9, "class_name": "owl"},
        {"file": "no score.jpg", "box": [0, 0, 1, 1], "class_name": "owl"},
        {"file": "unsure.jpg", "box": [0, 0, 1, 1], "box_score": 0.0, "class_name": "owl"},
        {"file": "no box.jpg", "box": None},
    )
    reviewing.opened(page, tmp_path)
    assert reviewing.names(page) == ["no score.jpg", "no box.jpg", "unsure.jpg", "sure.jpg"]
    titles = [card.accessible_name for card in page.all(".card")]
    assert "owl, no box score, no score.jpg" in titles and "no box, no box.jpg" in titles
    reviewing.fill(page, "#low", "0.01")
    assert reviewing.names(page) == ["sure.jpg"]
    reviewing.fill(page, "#low", "0")
    reviewing.select(page, "#class", "=")
    assert reviewing.names(page) == ["no box.jpg"]
    reviewing.select(page, "#class", "=owl")
    assert reviewing.names(page) == ["no score.jpg", "unsure.jpg", "sure.jpg"]


@pytest.mark.slow
def test_odd_names_are_shown_as_they_are(page, tmp_path):
    odd = ['</script><b id="x">.jpg', "{{run}}'\"&amp;.jpg", "caf\\xe9 \u00e9\u4e2d.jpg", "__proto__"]
    overlays = [f"0000{i}_a #?%41 \u00e9{i}.jpg" for i in range(4)]
    for name in overlays:
        (tmp_path / name).write_bytes(broken_files.encode(broken_files.Image.new("RGB", (8, 8)), "JPEG"))
    reviewing.write(tmp_path, *({"file": name, "overlay": f"x/{overlay}"} for name, overlay in zip(odd, overlays)))
    reviewing.opened(page, tmp_path)
    page.keys("a", "a", "a", "a")
    assert reviewing.downloaded(page)["decisions"] == dict.fromkeys(odd, "accepted")
    assert [card.get_attribute("title") for card in page.all(".card")] == odd
    page.wait(lambda: page.run("return [...document.images].every(image => !image.src || image.naturalWidth)"))
    assert not page.all("#x")


@pytest.mark.slow
def test_of_thousands_of_cards_only_those_in_sight_exist(page, tmp_path):
    count = 15_000
    reviewing.write(tmp_path, *({"file": f"{i}.jpg", "box_score": i / count, "overlay": "0.jpg"} for i in range(count)))
    reviewing.opened(page, tmp_path)
    assert len(page.all(".card")) < 100
    page.keys("End")
    assert reviewing.current(page) == f"{count - 1}.jpg"
    assert len(page.all(".card")) < 100
    card = page.find(".card[aria-selected=true]")
    assert (card.get_attribute("aria-posinset"), card.get_attribute("aria-setsize")) == (str(count), str(count))
    page.run("document.getElementById('list').scrollTop = 0")
    page.wait(lambda: "0.jpg" in reviewing.names(page))
    page.keys("ArrowLeft")
    assert reviewing.current(page) == f"{count - 2}.jpg"
    page.keys("Home", "PageDown")
    assert 0 < int(reviewing.current(page).removesuffix(".jpg")) < 100


@pytest.mark.slow
def test_a_run_without_results_has_a_page_that_says_so(page, tmp_path):
    reviewing.write(tmp_path)
    page.open((tmp_path / "index.html").as_uri())
    assert page.text("#nothing") == "There are no predictions."
    page.keys("a", "u", "Enter")
    assert reviewing.downloaded(page) == {"decisions": {}}
