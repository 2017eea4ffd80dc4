"""The report in a browser, at the width of a desktop and of a phone."""

import shutil

import pytest

from tests.helpers.command_line import run_ppcls

webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver"),
]
# Contrast by WCAG 2.1, 1.4.3, of each element's own text with the nearest background that is there.
CONTRAST = """
const light = text => {
  const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3).map(Number).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const solid = element => {
  for (; element; element = element.parentElement) {
    const color = getComputedStyle(element).backgroundColor;
    if (!/rgba\\(.*, 0\\)|\\/ 0\\)/.test(color) && !/rgba|\\//.test(color)) return color;
  }
  return matchMedia('(prefers-color-scheme: dark)').matches ? 'rgb(0, 0, 0)' : 'rgb(255, 255, 255)';
};
const low = [];
for (const element of document.querySelectorAll('body *')) {
  const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
  if (!own || !element.getClientRects().length) continue;
  const style = getComputedStyle(element);
  const color = element instanceof SVGElement ? style.fill : style.color;
  const [a, b] = [light(color), light(solid(element))].sort((x, y) => y - x);
  if ((a + 0.05) / (b + 0.05) < 4.5) low.push([element.outerHTML.slice(0, 120), color, solid(element)]);
}
return low;
"""


@pytest.fixture(scope="module")
def page(reported, tmp_path_factory):
    """Return the page of a real run, and one about two runs."""
    both = tmp_path_factory.mktemp("shown") / "both.html"
    run_ppcls("report", reported, reported, "--out", both, cwd=both.parent)
    return {"one": reported / "report.html", "both": both}


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def show(browser, path, width, scheme="light", fragment=""):
    """Open a page at a width, in a color scheme."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600},
    )
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    browser.get(path.as_uri() + fragment)


@pytest.mark.parametrize("which", ["one", "both"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_page(browser, page, which, width):
    show(browser, page[which], width)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert not [entry for entry in browser.get_log("browser") if "favicon" not in entry["message"]]
    events = [entry["message"] for entry in browser.get_log("performance")]
    requests = [text for text in events if "Network.requestWillBeSent" in text]
    assert not [text for text in requests if '"url":"http' in text]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("which", ["one", "both"])
def test_texts_can_be_read(browser, page, which, scheme):
    show(browser, page[which], 1280, scheme)
    browser.execute_script("document.querySelectorAll('details').forEach(one => one.open = true)")
    background = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")
    assert not browser.execute_script(CONTRAST)


def test_a_cell_opens_its_pictures(browser, page):
    show(browser, page["one"], 390)
    cells = browser.find_elements("css selector", ".cell")
    assert cells
    assert not any(cell.is_displayed() for cell in cells)
    link = browser.find_element("css selector", ".confusion a")
    target = link.get_attribute("href").split("#")[1]
    browser.execute_script("arguments[0].click()", link)
    assert [cell.get_attribute("id") for cell in cells if cell.is_displayed()] == [target]
    pictures = browser.find_elements("css selector", f"#{target} .t")
    shown = [one.value_of_css_property("background-image") for one in pictures]
    assert shown
    assert all(value.startswith('url("data:image/png') for value in shown)
