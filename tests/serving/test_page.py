"""The page in a real browser."""

import csv
import io
import re

import numpy as np
import pytest

from ppcls.inference import results
from tests.helpers.serving import encode
from tests.serving.page import all_of, choose, needs_browser, text, until

pytest.importorskip("selenium.webdriver", reason="needs selenium")
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

pytestmark = [pytest.mark.browser, needs_browser]


@pytest.fixture
def browser(opened, server):
    """Return the browser with the page loaded; what it complained about fails the test."""
    driver = opened[0]
    driver.set_window_size(1000, 800)
    driver.get(server.url)
    until(driver, lambda: text(driver, "#model") == "ConvMixer, 10 classes")
    yield driver
    complaints = [line for line in driver.get_log("browser") if "status of 422" not in line["message"]]
    assert not complaints


@pytest.fixture
def photos(tmp_path, photo):
    """Return the paths of three photos, one of which is none."""
    contents = {'=1+1 "a", b.png': photo, "two.png": photo, "page.jpg": b"<!doctype html><script>alert(1)</script>"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return [tmp_path / name for name in contents]


def test_photos_are_classified_explained_and_saved(browser, opened, photos):
    choose(browser, photos)
    until(browser, lambda: text(browser, "#status") == "3 of 3 done, 1 failed")
    names = [item.text for item in all_of(browser, ".result h2")]
    assert names == [path.name for path in photos]
    assert text(browser, ".error").startswith("not an image but a web page")
    first = all_of(browser, ".result")[0]
    rows = first.find_elements(By.CSS_SELECTOR, ".classes li")
    scores = [float(row.find_element(By.CLASS_NAME, "score").text.rstrip(" %")) for row in rows]
    assert len(rows) == 5
    assert scores == sorted(scores, reverse=True)
    assert all(row.find_element(By.CLASS_NAME, "label").text.startswith("digit-") for row in rows)
    width = rows[0].find_element(By.CLASS_NAME, "fill").size["width"]
    assert width == pytest.approx(rows[0].size["width"] * scores[0] / 100, abs=2)
    assert " ms (model " in first.find_element(By.CLASS_NAME, "note").text

    browser.execute_script(
        "for (let click = 0; click < 3; click += 1) arguments[0].click()",
        first.find_element(By.CLASS_NAME, "explain"),
    )
    until(browser, lambda: first.find_elements(By.CSS_SELECTOR, ".heat"))
    until(
        browser,
        lambda: "the part with the most colour takes “digit-" in first.find_element(By.CLASS_NAME, "explanation").text,
    )
    assert reddened(browser) > 20
    assert len(first.find_elements(By.CSS_SELECTOR, ".heat")) == 1
    first.find_element(By.CLASS_NAME, "explain").click()
    until(browser, lambda: not first.find_element(By.CSS_SELECTOR, ".heat").is_displayed())
    assert first.find_element(By.TAG_NAME, "img").is_displayed()

    browser.find_element(By.ID, "download").click()
    file = opened[1] / "predictions.csv"
    until(browser, file.is_file)
    with file.open(encoding="utf-8-sig", newline="") as lines:
        table = list(csv.DictReader(lines))
    assert len(table) == 5 + 5 + 1
    assert table[0]["file_name"] == "'" + photos[0].name  # not a formula
    assert [row["rank"] for row in table[:5]] == ["1", "2", "3", "4", "5"]
    assert float(table[0]["score"]) == pytest.approx(scores[0] / 100, abs=0.001)
    assert table[-1]["file_name"] == "page.jpg"
    assert "not an image" in table[-1]["error"]


def reddened(driver):
    """Return by how much a pixel of the heat map is redder than the same pixel of the picture, at most."""
    return driver.execute_script(
        """const heat = document.querySelector(".heat");
        const picture = document.querySelector(".figure img:not(.heat)");
        const width = heat.naturalWidth ?? heat.width, height = heat.naturalHeight ?? heat.height;
        const [with_, without] = [heat, picture].map((source) => {
          const context = Object.assign(document.createElement("canvas"), {width, height}).getContext("2d");
          context.imageSmoothingEnabled = false;
          context.drawImage(source, 0, 0, width, height);
          return context.getImageData(0, 0, width, height).data;
        });
        let most = 0;
        for (let i = 0; i < with_.length; i += 4) most = Math.max(most, with_[i] - without[i]);
        return most;"""
    )


def test_dropped_and_pasted_photos(browser, photo):
    script = """
        const [name, bytes] = arguments;
        const transfer = new DataTransfer();
        transfer.items.add(new File([new Uint8Array(bytes)], "dropped.png", {type: "image/png"}));
        const event = name === "drop"
          ? new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true})
          : new ClipboardEvent("paste", {clipboardData: transfer, bubbles: true});
        document.getElementById("drop").dispatchEvent(event);"""
    for count, kind in enumerate(("drop", "paste"), 1):
        browser.execute_script(script, kind, list(photo))
        until(browser, lambda count=count: text(browser, "#status").startswith(f"{count} of {count} done"))
    browser.find_element(By.ID, "clear").click()
    assert not all_of(browser, ".result")


def test_by_keyboard_alone(browser, photos):
    choose(browser, photos[:1])
    until(browser, lambda: text(browser, "#status").startswith("1 of 1 done"))
    browser.execute_script("document.activeElement.blur()")
    seen = []
    for _ in range(9):
        ActionChains(browser).send_keys(Keys.TAB).perform()
        focused = browser.switch_to.active_element
        seen.append(focused.text)
        if focused.text == "Explain":
            outline = focused.value_of_css_property("outline-style")
            ActionChains(browser).send_keys(Keys.SPACE).perform()
            break
    assert seen == ["Classes", "Choose photos", "Take a photo", "Download CSV", "Clear", "Explain"]
    assert outline == "solid"
    until(browser, lambda: all_of(browser, ".heat"))
    assert browser.switch_to.active_element.get_attribute("aria-pressed") == "true"


def test_the_camera(browser):
    browser.find_element(By.ID, "shoot").click()
    until(browser, lambda: browser.find_element(By.ID, "snap").is_displayed())
    until(browser, lambda: browser.execute_script("return document.getElementById('video').videoWidth > 0"))
    browser.find_element(By.ID, "snap").click()
    until(browser, lambda: text(browser, "#status").startswith("1 of 1 done"))
    assert text(browser, ".result h2").startswith("camera ")
    until(browser, lambda: browser.execute_script("return document.getElementById('video').srcObject === null"))


def test_a_double_click_opens_the_camera_once(browser):
    ActionChains(browser).double_click(browser.find_element(By.ID, "shoot")).perform()
    browser.execute_script("const button = document.getElementById('shoot'); button.click(); button.click()")
    until(browser, lambda: browser.find_element(By.ID, "snap").is_displayed())
    until(browser, lambda: browser.execute_script("return document.getElementById('video').videoWidth > 0"))
    assert text(browser, "#status") == ""
    browser.find_element(By.ID, "close").click()
    until(browser, lambda: browser.execute_script("return document.getElementById('video').srcObject === null"))


def test_what_is_read_out(browser, photos):
    assert browser.find_element(By.ID, "status").aria_role == "status"
    choose(browser, photos[:2])
    until(browser, lambda: text(browser, "#status") == "2 of 2 done")
    names = [button.accessible_name for button in all_of(browser, ".explain")]
    assert names == [f"Explain {path.name}" for path in photos[:2]]
    choose(browser, photos[1:2])
    until(browser, lambda: text(browser, "#status").startswith("3 of 3 done; two.png: "))
    latest = all_of(browser, ".result")[0]
    best = [latest.find_element(By.CLASS_NAME, part).text for part in ("label", "score")]
    best += ["unsure"] * len(latest.find_elements(By.CLASS_NAME, "unsure"))
    assert text(browser, "#status") == f"3 of 3 done; two.png: {', '.join(best)}"


# Of a border, and of what is on both sides of it.
COLOURS = """
    const [element] = arguments;
    const outside = element.parentElement.closest("#drop, body");
    return [getComputedStyle(element).borderTopColor,
            ...[element, outside].map((one) => getComputedStyle(one).backgroundColor)];"""


def test_borders_stand_out(browser):
    """WCAG 1.4.11: the parts of controls have a contrast of 3 at least."""
    for scheme in ("light", "dark"):
        feature = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", feature)
        for selector in ("#drop", "#choose", "#key"):
            element = browser.find_element(By.CSS_SELECTOR, selector)
            line, *grounds = map(luminance, browser.execute_script(COLOURS, element))
            for ground in grounds:
                low, high = sorted((line, ground))
                assert (high + 0.05) / (low + 0.05) >= 3, (scheme, selector)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def luminance(colour):
    """Return the relative luminance of ``rgb(…)`` by WCAG."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_page_guards_the_cells_that_ppcls_guards(browser, tmp_path):
    names = [f"{chr(code)}1.png" for code in range(1, 0x10000) if not 0xD800 <= code < 0xE000]
    scored = {"class_ids": [0], "label_names": ["a"], "scores": [1.0]}
    with results.open_writer(tmp_path / "x.csv") as file:
        for name in names:
            file.add({"file_name": name, **scored})
    by_page = browser.execute_async_script(
        """const [names, scored, done] = arguments;
        const results = names.map((name) => ({file_name: name, ...scored}));
        import("/csv.js").then(({toCsv}) => done(toCsv(results)));""",
        names,
        scored,
    )
    tables = [csv.DictReader(io.StringIO(text, newline="")) for text in (by_page[1:], written(tmp_path / "x.csv"))]
    page, ours = ([row["file_name"] for row in table] for table in tables)
    assert page == ours
    assert [cell for cell, name in zip(page, names) if cell != name] == [
        f"'{mark}1.png" for mark in "\t\n\r+-=@＋－＝＠"
    ]


def written(path):
    return path.read_bytes().decode("utf-8-sig")


def test_a_phone_shows_everything_without_scrolling_sideways(browser, photos):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    )
    try:
        choose(browser, photos)
        until(browser, lambda: text(browser, "#status") == "3 of 3 done, 1 failed")
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
        heights = [button.size["height"] for button in all_of(browser, "button") if button.is_displayed()]
        assert min(heights) >= 44
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_dark_by_preference(browser):
    colours = {}
    for scheme in ("light", "dark"):
        feature = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", feature)
        colours[scheme] = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert colours["light"] == "rgb(255, 255, 255)"
    assert colours["dark"] != colours["light"]


def test_the_page_asks_for_the_key(opened, start, photos):
    driver = opened[0]
    with start("--api-key", "correct horse") as guarded:
        driver.get(guarded.url)
        until(driver, lambda: driver.find_element(By.ID, "key-form").is_displayed())
        assert text(driver, "#model") == "Enter the key."
        driver.find_element(By.ID, "key").send_keys("wrong", Keys.ENTER)
        until(driver, lambda: text(driver, "#model") == "The server does not know this key.")
        driver.find_element(By.ID, "key").clear()
        driver.find_element(By.ID, "key").send_keys("correct horse", Keys.ENTER)
        until(driver, lambda: text(driver, "#model") == "ConvMixer, 10 classes")
        assert not driver.find_element(By.ID, "key-form").is_displayed()
        until(driver, lambda: driver.switch_to.active_element.get_attribute("id") == "choose")
        choose(driver, photos[:1])
        until(driver, lambda: text(driver, "#status").startswith("1 of 1 done"))
    driver.get_log("browser")


def test_a_full_server_is_asked_again(opened, start, tmp_path):
    """Twelve photos for a server that holds one: all are answered in the end."""
    driver = opened[0]
    paths = [tmp_path / f"{number}.png" for number in range(12)]
    for number, path in enumerate(paths):
        path.write_bytes(encode(np.full((16, 16, 3), 20 * number, np.uint8)))
    with start("--queue", 1, "--max-images", 1) as small:
        driver.get(small.url)
        until(driver, lambda: text(driver, "#model") == "ConvMixer, 10 classes")
        choose(driver, paths)
        until(driver, lambda: text(driver, "#status") == "12 of 12 done", seconds=40)
    driver.get_log("browser")
