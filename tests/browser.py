"""A headless Chromium with which tests use pages as a person does: real files, keys, clicks, drops and downloads."""
from __future__ import annotations

import contextlib
import pathlib
import shutil
import time

import pytest

_SECONDS = 60  # for what a test waits for: a page that hangs fails the test


class Page:
    """An open page.

    Attributes:
      driver: Selenium's WebDriver, for what has no method here.
      downloads: the folder of downloaded files.
    """

    def __init__(self, driver, downloads):
        self.driver = driver
        self.downloads = downloads

    def open(self, address, *, width=1000, height=800):
        """Opens an address in a window of this size, with the storage that earlier pages left."""
        self.driver.set_window_size(width, height)
        self.driver.get(address)
        self._wait_for_paint()

    def reload(self):
        """Opens the same address again."""
        self.driver.refresh()
        self._wait_for_paint()

    def _wait_for_paint(self):
        # Chromium drops keys and clicks that come earlier.
        self.wait(lambda: self.run("return performance.getEntriesByType('paint').length"))

    def find(self, selector):
        """Returns the one element of a CSS selector."""
        found = self.all(selector)
        assert len(found) == 1, f"{len(found)} elements are {selector}"
        return found[0]

    def all(self, selector):
        """Returns the elements of a CSS selector."""
        return self.driver.find_elements("css selector", selector)

    def text(self, selector):
        """Returns the visible text of an element."""
        return self.find(selector).text

    def run(self, script, *arguments):
        """Returns what a JavaScript function body returns."""
        return self.driver.execute_script(script, *arguments)

    def keys(self, *keys):
        """Presses keys, each a character or a name such as "Enter" or "ArrowLeft", where the focus is."""
        from selenium.webdriver import ActionChains
        from selenium.webdriver.common.keys import Keys

        for key in keys:
            name = {"PageDown": "PAGE_DOWN"}.get(key, key.replace("Arrow", "").upper())
            ActionChains(self.driver).send_keys(key if len(key) == 1 else getattr(Keys, name)).perform()

    def drop(self, path, selector):
        """Drops a file onto the middle of an element."""
        box = self.find(selector).rect
        place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.driver.execute_cdp_cmd("Input.dispatchDragEvent", {"type": kind, **place, "data": data})

    def wait(self, condition):
        """Returns what `condition` returns as soon as that is true; fails if it never is."""
        end = time.monotonic() + _SECONDS
        while not (result := condition()):
            assert time.monotonic() < end, f"this did not happen in time; {self.log()}"
            time.sleep(0.02)
        return result

    def log(self):
        """Returns the messages of the page since the last call: errors, also of what it must not load."""
        return [entry["message"] for entry in self.driver.get_log("browser")]


@contextlib.contextmanager
def started(downloads: pathlib.Path):
    """Yields the `Page` of a new Chromium that saves downloads in a folder; skips where Chromium is not installed."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (browser and driver):
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium chromium-driver)")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    # Without a sandbox, which root can't have, and without shared memory, of which containers have little.
    for flag in ("headless", "no-sandbox", "disable-dev-shm-usage", "disable-gpu", "no-proxy-server"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chromium = webdriver.Chrome(options, webdriver.ChromeService(driver))
    try:
        where = {"behavior": "allow", "downloadPath": str(downloads)}
        chromium.execute_cdp_cmd("Browser.setDownloadBehavior", where)
        yield Page(chromium, downloads)
    finally:
        chromium.quit()
