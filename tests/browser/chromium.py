"""A headless Chromium, and the console in it."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.browser.servers import PATIENCE_S

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver
    from selenium.webdriver.remote.webelement import WebElement

PICTURES: Final = Path(os.environ.get("PYZK_SCREENSHOTS", ".build/screenshots"))
"""Where the pictures of the run stay."""
WIDE: Final = (1360, 860)
PHONE: Final = (390, 844)


def why_not() -> str:
    """Return why there is no browser here; empty if there is one."""
    if importlib.util.find_spec("selenium") is None:
        return "no browser test: pip install selenium"
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    if missing:
        return f"no browser test: {' and '.join(missing)} not found (Debian: chromium-driver)"
    return ""


class Browser:
    """A page of the browser, with what a visitor does and sees."""

    def __init__(self, driver: WebDriver) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        self.driver.get("about:blank")  # or another # would be the same page
        self.driver.get(url)

    def all(self, selector: str) -> list[WebElement]:
        found: list[WebElement] = self.driver.find_elements("css selector", selector)
        return found

    def one(self, selector: str) -> WebElement:
        """The first element, once it is there."""
        found: WebElement = self.until(lambda: self.all(selector), f"no {selector}")[0]
        return found

    def texts(self, selector: str) -> list[str]:
        found: list[str] = self.driver.execute_script(
            "return Array.from(document.querySelectorAll(arguments[0]), (each) => each.innerText)",
            selector,
        )
        return found

    def text(self, selector: str) -> str:
        return "\n".join(self.texts(selector))

    def until(self, done: Callable[[], Any], message: str, seconds: float = PATIENCE_S) -> Any:
        """Returns what is there as soon as it is."""
        from selenium.common.exceptions import StaleElementReferenceException
        from selenium.webdriver.support.ui import WebDriverWait

        ignored = [StaleElementReferenceException]
        wait = WebDriverWait(self.driver, seconds, 0.05, ignored_exceptions=ignored)
        return wait.until(lambda _: done(), message)

    def until_text(self, selector: str, text: str, seconds: float = PATIENCE_S) -> None:
        self.until(lambda: text in self.text(selector), f"no {text!r} in {selector}", seconds)

    def until_no_text(self, selector: str, text: str, seconds: float = PATIENCE_S) -> None:
        self.until(lambda: text not in self.text(selector), f"{text!r} stays", seconds)

    def click(self, selector: str, text: str = "") -> None:
        """Clicks the first element that has a text."""
        script = (
            "const found = Array.from(document.querySelectorAll(arguments[0]))"
            ".find((each) => each.innerText.includes(arguments[1]));"
            "if (found) found.click(); return Boolean(found)"
        )
        self.until(
            lambda: self.driver.execute_script(script, selector, text),
            f"no {selector} with {text!r}",
        )

    def press(self, selector: str, *keys: str) -> None:
        self.one(selector).send_keys(*keys)

    def picture(self, name: str) -> None:
        """Keeps what is seen now."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.driver.save_screenshot(str(PICTURES / f"{name}.png"))

    def look(self, *, dark: bool = False, size: tuple[int, int] = WIDE) -> None:
        """Has the page in the dark or in the light, on a screen of this size."""
        scheme = "dark" if dark else "light"
        command = self.driver.execute_cdp_cmd
        feature = {"name": "prefers-color-scheme", "value": scheme}
        command("Emulation.setEmulatedMedia", {"features": [feature]})
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1}
        command("Emulation.setDeviceMetricsOverride", metrics | {"mobile": width < 500})

    def problems(self) -> list[str]:
        """What the browser complains of: errors of the program, and what its policy forbids."""
        return [
            f"{each['level']}: {each['message']}"
            for each in self.driver.get_log("browser")
            if "favicon" not in each["message"]
        ]

    def requests(self) -> list[tuple[str, int, float]]:
        """(name, bytes, ms) of every request that the page has made."""
        script = (
            "return performance.getEntriesByType('resource')"
            ".map((each) => [each.name, each.transferSize, each.duration])"
        )
        found: list[tuple[str, int, float]] = self.driver.execute_script(script)
        return found

    def first_paint_ms(self) -> float:
        script = (
            "const found = performance.getEntriesByName('first-contentful-paint')[0];"
            "return found ? found.startTime : null"
        )
        begin = time.monotonic()
        while time.monotonic() < begin + PATIENCE_S:
            found = self.driver.execute_script(script)
            if found is not None:
                return float(found)
        raise AssertionError("nothing is painted")


def keep_figures(told: list[str]) -> None:
    """Keeps what was measured, beside the pictures."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    (PICTURES / "figures.txt").write_text("".join(f"{line}\n" for line in told))


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """A browser with a profile of its own."""
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.binary_location = shutil.which("chromium") or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service(shutil.which("chromedriver") or ""))
    try:
        driver.set_script_timeout(PATIENCE_S)
        made = Browser(driver)
        made.look()
        yield made
    finally:
        driver.quit()
