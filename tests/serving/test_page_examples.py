"""What the page shows of the model: its examples, its classes and how sure an answer is; on a desktop and a phone."""

import json
import re
import shlex
import shutil
import subprocess

import httpx
import pytest

from ppcls.inference import description, examples
from ppcls.serving import schemas
from tests.serving.page import all_of, choose, needs_browser, text, until

pytest.importorskip("selenium.webdriver", reason="needs selenium")
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

pytestmark = [pytest.mark.browser, needs_browser]
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}


@pytest.fixture(scope="module")
def address(start, with_examples):
    with start(model=with_examples) as running:
        yield running.url


@pytest.fixture
def browser(opened, address):
    """Return the browser with the page and its examples loaded; what it complained about fails the test."""
    driver = opened[0]
    driver.set_window_size(1280, 900)
    show(driver, address)
    until(driver, lambda: len(all_of(driver, ".example")) == 4)
    yield driver
    assert not driver.get_log("browser")


@pytest.fixture
def phone(browser):
    """Return the browser as a phone."""
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    yield browser
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def show(driver, url):
    driver.get(url)
    until(driver, lambda: text(driver, "#model") == "ConvMixer, 10 classes")


def box(driver, selector):
    """Return an element's rectangle in the window."""
    element = driver.find_element(By.CSS_SELECTOR, selector)
    return driver.execute_script("return arguments[0].getBoundingClientRect().toJSON()", element)


def test_no_hint_beside_examples(browser):
    assert not browser.find_element(By.ID, "hint").is_displayed()


def test_examples_are_answered_as_the_files_that_they_are(browser, address, with_examples):
    labels = [button.text for button in all_of(browser, ".example")]
    found = examples.read(description.read(with_examples))
    assert labels == [f"digit-{example.class_ids[0]}" for example in found]
    assert len(set(labels)) == 4
    for number, example in enumerate(found, 1):
        browser.find_element(By.CSS_SELECTOR, f"#examples-list li:nth-child({number}) button").click()
        until(browser, lambda number=number: text(browser, "#status").startswith(f"{number} of {number} done; "))
        first = all_of(browser, ".result")[0]  # the latest
        assert first.find_element(By.TAG_NAME, "h2").text == f"example {number}, {labels[number - 1]}.jpg"
        answer = httpx.post(f"{address}/predict", files={"a": ("a.jpg", example.data)}).json()["results"][0]
        shown = [row.text for row in first.find_elements(By.CSS_SELECTOR, ".classes .label")]
        assert shown == answer["label_names"]
        assert browser.execute_script("return arguments[0].querySelector('img').naturalWidth", first) == 16


def test_examples_by_keyboard(browser):
    button = all_of(browser, ".example")[2]
    button.send_keys(Keys.ENTER)
    until(browser, lambda: text(browser, "#status").startswith(f"1 of 1 done; example 3, {button.text}.jpg: digit-"))
    assert browser.switch_to.active_element == button  # the next one is a key away
    assert browser.find_element(By.ID, "examples-list").find_element(By.XPATH, "..").accessible_name == (
        "Or try an example"
    )


def test_examples_need_the_key_and_come_with_it(opened, start, with_examples):
    driver = opened[0]
    with start("--api-key", "correct horse", model=with_examples) as guarded:
        assert httpx.get(f"{guarded.url}/examples").status_code == 401
        answer = httpx.get(f"{guarded.url}/examples", headers={"X-API-Key": "correct horse"}).json()
        assert schemas.Examples.model_validate(answer, strict=True).model_dump() == answer
        assert len(answer["examples"]) == 4
        driver.get(guarded.url)
        until(driver, lambda: driver.find_element(By.ID, "key-form").is_displayed())
        assert not driver.find_element(By.ID, "examples").is_displayed()
        driver.find_element(By.ID, "key").send_keys("correct horse", Keys.ENTER)
        until(driver, lambda: len(all_of(driver, ".example")) == 4)
    driver.get_log("browser")


def test_a_model_without_examples_offers_none(opened, server):
    driver = opened[0]
    show(driver, server.url)
    assert not driver.find_element(By.ID, "examples").is_displayed()
    assert httpx.get(f"{server.url}/examples").json() == {"examples": []}
    hint = text(driver, "#hint")
    assert hint.startswith("It tells “digit-0”, “digit-1”, “digit-2”, “digit-3” and 6 other classes apart.")
    assert "ppcls export RUN --examples 6" in hint
    assert box(driver, "#hint")["bottom"] < 900  # in sight on a desktop
    assert not driver.get_log("browser")


def test_a_damaged_example_keeps_the_server_from_starting(run, with_examples, tmp_path):
    folder = shutil.copytree(with_examples, tmp_path / "model")
    (folder / "inference_examples" / "1.jpg").write_bytes(b"")
    assert "1.jpg: damaged, or changed since it was exported" in run("serve", folder, "--port", "0", code=2).stderr


def unsure_marks(driver):
    """Return for each result, in the order of its photo, the scores of its two best classes and its mark."""
    rows = []
    for result in all_of(driver, ".result"):
        scores = [float(score.text.rstrip(" %")) for score in result.find_elements(By.CLASS_NAME, "score")[:2]]
        rows.append((*scores, "".join(mark.text for mark in result.find_elements(By.CLASS_NAME, "unsure"))))
    return rows


def test_an_answer_that_the_second_class_is_near_to_is_marked(opened, start, exported, digits):
    driver = opened[0]
    photos = sorted((digits / "val").iterdir())[:12]
    with httpx.Client() as client, start() as probe:
        files = [("a", (path.name, path.read_bytes())) for path in photos]
        results = client.post(f"{probe.url}/predict?topk=2", files=files).json()["results"]
    margins = sorted(result["scores"][0] - result["scores"][1] for result in results)
    margin = round((margins[5] + margins[6]) / 2, 5)
    with start("--unsure-margin", str(margin)) as running:
        show(driver, running.url)
        choose(driver, photos)
        until(driver, lambda: text(driver, "#status") == "12 of 12 done")
        marks = unsure_marks(driver)
        assert [bool(mark) for *_, mark in marks] == [
            result["scores"][0] - result["scores"][1] < margin for result in results
        ]
        assert sum(bool(mark) for *_, mark in marks) == 6
        for (best, second, mark), result in zip(marks, results):
            if mark:
                pattern = r"Unsure: “(.*)” is only (.*) percentage points behind\. Less than (.*) counts as unsure\."
                label, behind, stated = re.fullmatch(pattern, mark).groups()
                assert label == result["label_names"][1]
                assert float(behind) == pytest.approx(best - second, abs=0.21)
                assert float(stated) == pytest.approx(100 * margin, abs=0.051)
        unsure = next(photo for photo, (*_, mark) in zip(photos, marks) if mark)
        choose(driver, [unsure])
        until(driver, lambda: text(driver, "#status").endswith(" %, unsure"))


def test_the_margin_has_a_default_and_can_be_switched_off(opened, start, server, digits, run, exported):
    driver = opened[0]
    assert httpx.get(f"{server.url}/model").json()["unsure_margin"] == 0.4
    assert "--unsure-margin 1.5: must be from 0 to 1" in run("serve", exported, "--unsure-margin", "1.5", code=2).stderr
    with start("--unsure-margin", "0") as running:
        show(driver, running.url)
        choose(driver, sorted((digits / "val").iterdir())[:6])
        until(driver, lambda: text(driver, "#status") == "6 of 6 done")
        assert not all_of(driver, ".unsure")


def test_the_classes_are_a_list_by_keyboard(browser):
    classes = browser.find_element(By.CSS_SELECTOR, "#classes summary")
    assert classes.text == "Classes"
    assert not browser.find_element(By.ID, "class-list").is_displayed()
    classes.send_keys(Keys.ENTER)
    until(browser, lambda: len(all_of(browser, "#class-list li")) == 10)
    assert [item.text for item in all_of(browser, "#class-list li")] == [f"{n} digit-{n}" for n in range(10)]
    assert not browser.find_element(By.ID, "class-query").is_displayed()  # ten are seen at a glance


def test_many_classes_are_searched(browser):
    browser.execute_async_script(
        """const done = arguments[0];
        const names = Array.from({length: 10000}, (_, place) => `Thing <b>${place}</b>`);
        names[7777] = "Tench";
        import("/classes.js").then(({showClasses}) => done(showClasses({class_names: names})));"""
    )
    browser.find_element(By.CSS_SELECTOR, "#classes summary").click()
    until(browser, lambda: text(browser, "#class-count") == "the first 1000 of 10000 classes")
    query = browser.find_element(By.ID, "class-query")
    assert query.accessible_name == "Search the classes"
    for typed, count, first in (
        ("tench", "1 of 10000 classes", "7777 Tench"),
        ("9998", "1 of 10000 classes", "9998 Thing <b>9998</b>"),
        ("7777", "1 of 10000 classes", "7777 Tench"),  # a class id
        ("no such", "no class has this in its name", None),
    ):
        query.clear()
        query.send_keys(typed)
        until(browser, lambda count=count: text(browser, "#class-count") == count)
        assert [item.text for item in all_of(browser, "#class-list li")] == ([] if first is None else [first])


def test_a_desktop_has_large_pictures_beside_large_answers(browser):
    all_of(browser, ".example")[0].click()
    until(browser, lambda: text(browser, "#status").startswith("1 of 1 done"))
    picture, result = box(browser, ".result img"), box(browser, ".result")
    assert picture["width"] >= 300
    assert box(browser, ".result .classes")["left"] > picture["right"]
    assert result["left"] > box(browser, "#drop")["right"]
    assert result["bottom"] <= 900  # all without scrolling
    sizes = [float(row.value_of_css_property("font-size").removesuffix("px")) for row in all_of(browser, ".classes li")]
    assert sizes[0] >= 1.5 * sizes[1]
    assert sizes[1:] == [sizes[1]] * 4
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 1280


def test_a_phone_shows_the_answer_of_an_example_without_scrolling(phone):
    button = all_of(phone, ".example")[0]
    button.click()
    until(phone, lambda: text(phone, "#status").startswith("1 of 1 done"))
    until(phone, lambda: box(phone, ".answer")["top"] >= 0 and box(phone, ".answer")["bottom"] <= 844)
    assert phone.execute_script("return document.documentElement.scrollWidth") <= 390
    assert box(phone, ".result .classes")["top"] >= box(phone, ".result img")["bottom"]
    phone.find_element(By.CSS_SELECTOR, "#classes summary").click()
    assert phone.execute_script("return document.documentElement.scrollWidth") <= 390
    shown = [item for item in all_of(phone, "button, summary") if item.is_displayed()]
    assert min(item.size["height"] for item in shown) >= 44


def test_the_page_of_the_api_opens_with_a_command_that_works(opened, address, photo, tmp_path):
    driver = opened[0]
    driver.get(f"{address}/docs")
    until(driver, lambda: len(all_of(driver, "#operations section")) == 7)
    assert text(driver, "#operations h2") == "POST /predict"
    command, answer = (block.text for block in all_of(driver, "#operations section:first-child pre"))
    assert shlex.split(command) == ["curl", "-F", "file=@photo.jpg", f"{address}/predict"]
    (tmp_path / "photo.jpg").write_bytes(photo)
    if not shutil.which("curl"):
        pytest.skip("needs curl")
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True)
    got, promised = json.loads(done.stdout), json.loads(answer)
    assert got.keys() == promised.keys()
    assert got["results"][0].keys() == promised["results"][0].keys()
    assert got["milliseconds"].keys() == promised["milliseconds"].keys()
    assert f'curl -F file=@photo.jpg "{address}/saliency"' in text(driver, "#operations")


def test_the_page_of_the_api_names_the_key(opened, start):
    driver = opened[0]
    with start("--api-key", "secret") as guarded:
        driver.get(f"{guarded.url}/docs")
        until(driver, lambda: all_of(driver, "#operations section"))
        expected = f'curl -H "X-API-Key: $PPCLS_API_KEY" -F file=@photo.jpg "{guarded.url}/predict"'
        assert text(driver, "#operations pre") == expected
