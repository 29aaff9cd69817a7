"""A browser without a window, driven by Selenium, for the pages of `numpygpt.look`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

DATA = """
return [...document.querySelectorAll(arguments[0])].map((element) => ({...element.dataset}))
"""


class Browser:
    """One tab, and what it has asked for and complained of."""

    def __init__(self, driver: Any, folder: Path) -> None:
        self.driver = driver
        self.folder = folder  # for pages, and where downloads go

    def save(self, html: str, name: str = "look.html") -> str:
        """Write a page to a file, and return its address."""
        path = self.folder / name
        path.write_text(html, encoding="utf-8")
        return path.as_uri()

    def open(self, address: str, width: int = 1000, theme: str = "light") -> None:
        """Load a page at a width, in pixels, and wait until it is drawn."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        self.driver.get(address)
        self.wait("return document.querySelector('#bars svg') !== null")

    def run(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript and return what it returns."""
        return self.driver.execute_script(script, *arguments)

    def wait(self, script: str) -> None:
        """Wait until a script returns true."""
        self.wait_for(lambda: self.run(script))

    def wait_for(self, condition: Callable[[], Any]) -> None:
        """Wait until something is true."""
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.driver, 30, poll_frequency=0.01).until(lambda _: condition())

    def all(self, selector: str) -> list[Any]:
        """Every element that a CSS selector finds."""
        return list(self.driver.find_elements("css selector", selector))

    def choose(self, group: str, index: int) -> None:
        """Click one of a group."""
        self.all(f"#{group} [data-item]")[index].click()

    def data(self, selector: str) -> list[dict[str, str]]:
        """The data attributes of every element that a CSS selector finds."""
        return list(self.run(DATA, selector))

    def values(self, selector: str) -> list[float]:
        """The `data-value` of every element that a CSS selector finds."""
        return [float(data["value"]) for data in self.data(selector)]

    def text(self, selector: str) -> str:
        """The text of the first element that a CSS selector finds."""
        return str(self.run("return document.querySelector(arguments[0]).textContent", selector))

    def press(self, *keys: str) -> None:
        """Press keys, wherever the focus is."""
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def complaints(self) -> list[str]:
        """What the console has said since this was last asked."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """The addresses that were asked for since this was last asked."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [message["params"] for message in messages if message["method"] == "Network.requestWillBeSent"]
        return [str(params["request"]["url"]) for params in sent]


@contextmanager
def running_browser(folder: Path) -> Iterator[Browser]:
    """Start chromium; skips the test where it, its driver or Selenium is missing."""
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("there is no browser: install chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    tab = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        where = {"behavior": "allow", "downloadPath": str(folder)}
        tab.execute_cdp_cmd("Browser.setDownloadBehavior", where)
        yield Browser(tab, folder)
    finally:
        tab.quit()
