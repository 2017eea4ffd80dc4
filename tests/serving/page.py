"""A real browser for the tests of the page."""

import contextlib
import shutil

import pytest

webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver")


@contextlib.contextmanager
def browsing(downloads):
    """Run a browser that saves downloads in a folder."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
    ):
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield browser
    finally:
        browser.quit()


def until(driver, condition, seconds=15):
    """Wait until a condition holds."""
    WebDriverWait(driver, seconds, poll_frequency=0.05).until(lambda _: condition())


def all_of(driver, selector):
    """Return the elements of a CSS selector."""
    return driver.find_elements(By.CSS_SELECTOR, selector)


def text(driver, selector):
    """Return the text of the first element of a CSS selector."""
    return driver.find_element(By.CSS_SELECTOR, selector).text


def choose(driver, paths):
    """Choose photos as a person does in the dialog of the system."""
    driver.find_element(By.ID, "files").send_keys("\n".join(map(str, paths)))
