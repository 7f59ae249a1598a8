"""What tests of the page for review share: writing it, and using it in a browser."""
import json
import pathlib

from ornet_tf.inference import review_page


def write(folder, *entries):
    lines = [json.dumps({"overlay": f"out/{i}.jpg", **entry}).encode() + b"\n" for i, entry in enumerate(entries)]
    return pathlib.Path(review_page.write(str(folder), iter(lines)))


def opened(page, folder, **size):
    """Opens a page for review without decisions of earlier tests."""
    page.log()
    page.open((folder / "index.html").as_uri(), **size)
    page.run("localStorage.clear()")
    page.reload()


def names(page):
    """Returns the file names on the cards, from the upper left to the lower right."""
    return page.run(
        "return [...document.querySelectorAll('.card')].sort((a, b) => a.ariaPosInSet - b.ariaPosInSet)"
        ".map(card => card.querySelector('.file').textContent);"
    )


def base_names(entries):
    return [pathlib.Path(entry["file"]).name for entry in entries]


def current(page):
    """Returns the file name on the current card, which assistive technology is told of, too."""
    card = page.find(".card[aria-selected=true]")
    assert page.find("#list").get_attribute("aria-activedescendant") == card.get_attribute("id")
    return card.find_element("css selector", ".file").text


def select(page, selector, value):
    from selenium.webdriver.support.ui import Select

    Select(page.find(selector)).select_by_value(value)


def fill(page, selector, value):
    page.find(selector).clear()
    page.find(selector).send_keys(value)


def downloaded(page):
    """Returns the decisions in the file that the button saves."""
    path = page.downloads / "decisions.json"
    path.unlink(missing_ok=True)
    page.find("#download").click()
    page.wait(lambda: path.exists() and path.stat().st_size)  # an empty file holds its place until it is complete
    return json.loads(path.read_text(encoding="utf-8"))
