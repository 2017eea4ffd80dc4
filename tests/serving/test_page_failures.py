"""The page where something fails: the server, the network, the key, the photo."""

import contextlib
import csv
import http.server
import threading

import httpx
import pytest

from tests.serving.page import all_of, choose, needs_browser, text, until

pytest.importorskip("selenium.webdriver", reason="needs selenium")
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

pytestmark = [pytest.mark.browser, needs_browser]

# The page's waits pass a hundred times as fast, and are noted.
FAST = """
    window.waits = [];
    const timer = window.setTimeout;
    window.setTimeout = (work, wait) => {
      window.waits.push(wait);
      return timer(work, wait / 100);
    };"""
DROP = 0  # instead of a status: the connection is closed without an answer


class Proxy:
    """A proxy before the server, with faults of its own.

    Attributes:
        url: where it listens.
        faults: for each path the faults of the requests to come; then all are passed on.
        seen: the paths that were asked for.
    """

    def __init__(self, target):
        self.faults, self.seen = {}, []
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                proxy._answer(self, target)

            def do_POST(self):
                self.do_GET()

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def _answer(self, request, target):
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        path = request.path.partition("?")[0]
        self.seen.append(path)
        status, headers, content = (self.faults.get(path) or [None]).pop(0) or (None, {}, b"")
        if status is None:
            sent = {name: value for name, value in request.headers.items() if name.lower() != "host"}
            answer = httpx.request(request.command, target + request.path, content=body, headers=sent, timeout=30)
            status, headers, content = answer.status_code, answer.headers, answer.content
        if status != DROP:
            request.send_response(status)
            for name, value in headers.items():
                request.send_header(name, value)
            request.end_headers()
            request.wfile.write(content)

    @contextlib.contextmanager
    def running(self):
        """Listen until the end of the block."""
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


def error_answer(status, wait=None, content=b'{"error": "not now"}'):
    return status, {} if wait is None else {"Retry-After": str(wait)}, content


@pytest.fixture
def fast(opened):
    """Return the browser, in which the page's waits pass quickly."""
    driver = opened[0]
    added = driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": FAST})
    yield driver
    driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


@pytest.fixture
def proxy(server):
    with Proxy(server.url).running() as proxy:
        yield proxy


@pytest.fixture
def photos(tmp_path, photo):
    paths = [tmp_path / f"{name}.png" for name in "abc"]
    for path in paths:
        path.write_bytes(photo)
    return paths


def show(driver, url):
    driver.get(url)
    until(driver, lambda: text(driver, "#model") == "ConvMixer, 10 classes")


def enter(driver, key):
    field = driver.find_element(By.ID, "key")
    field.clear()
    field.send_keys(key, Keys.ENTER)


def saved(driver, downloads):
    file = downloads / "predictions.csv"
    file.unlink(missing_ok=True)
    driver.find_element(By.ID, "download").click()
    until(driver, file.is_file)
    with file.open(encoding="utf-8-sig", newline="") as lines:
        return list(csv.DictReader(lines))


def test_photos_wait_for_the_key(opened, start, photos):
    driver, downloads = opened
    with start("--api-key", "correct horse") as guarded:
        driver.get(guarded.url)
        until(driver, lambda: driver.find_element(By.ID, "key-form").is_displayed())
        choose(driver, photos)
        until(driver, lambda: text(driver, "#status") == "0 of 3 done; waiting for the API key")
        assert not driver.find_element(By.ID, "download").is_enabled()
        enter(driver, "wrong")
        until(driver, lambda: text(driver, "#model") == "The server does not know this key.")
        driver.get_log("browser")
        enter(driver, "schlüssel ключ")
        until(driver, lambda: text(driver, "#model").startswith("A key has only ASCII characters"))
        assert not driver.get_log("browser")
        photos[2].unlink()
        enter(driver, "correct horse")
        until(driver, lambda: text(driver, "#status") == "3 of 3 done, 1 failed")
    assert [item.text for item in all_of(driver, ".error")] == [
        "the photo cannot be read: it was changed or removed after it was chosen"
    ]
    assert not driver.find_element(By.ID, "again").is_displayed()  # it would be in vain
    assert [row["file_name"] for row in saved(driver, downloads)] == ["a.png"] * 5 + ["b.png"] * 5 + ["c.png"]


def test_another_key_while_the_page_is_open(opened, start, photos):
    driver = opened[0]
    with start("--api-key", "old") as guarded:
        driver.get(guarded.url)
        until(driver, lambda: driver.find_element(By.ID, "key-form").is_displayed())
        enter(driver, "old")
        until(driver, lambda: text(driver, "#model") == "ConvMixer, 10 classes")
        port = guarded.url.rpartition(":")[2]
    with start("--api-key", "new", "--port", port):
        choose(driver, photos)
        until(driver, lambda: text(driver, "#status") == "0 of 3 done; waiting for the API key")
        assert text(driver, "#model") == "The server does not know this key."
        enter(driver, "new")
        until(driver, lambda: text(driver, "#status") == "3 of 3 done")


def test_a_server_that_starts_anew(opened, start, photos):
    driver = opened[0]
    with start() as first:
        show(driver, first.url)
        port = first.url.rpartition(":")[2]
    choose(driver, photos[:1])
    waiting = "the server cannot be reached; trying again in 2 s"
    until(driver, lambda: text(driver, ".note") == waiting)
    assert text(driver, "#status") == f"0 of 1 done; {waiting}"
    with start("--port", port):
        until(driver, lambda: text(driver, "#status").startswith("1 of 1 done; a.png: digit-"), seconds=40)


@pytest.mark.parametrize(
    ("fault", "message", "waits"),
    [
        ((DROP, {}, b""), "the server cannot be reached", [1, 2, 4, 8, 16]),
        (error_answer(503, 3), "not now", [3, 3, 4, 8, 16]),
        (error_answer(429, 1), "not now", [1, 2, 4, 8, 16]),
        (error_answer(502, content=b"<html>"), "the server answered 502", [1, 2, 4, 8, 16]),
        (error_answer(503, 3600), "not now", []),
    ],
)
def test_what_failed_for_a_passing_reason_is_tried_again(opened, fast, proxy, photos, fault, message, waits):
    show(fast, proxy.url)
    proxy.faults["/predict"] = [fault] * (len(waits) + 1)
    choose(fast, photos[:1])
    until(fast, lambda: text(fast, "#status") == f"1 of 1 done, 1 failed; a.png: {message}")
    assert fast.execute_script("return window.waits") == [1000 * wait for wait in waits]
    assert text(fast, ".error") == message
    assert [(row["file_name"], row["error"]) for row in saved(fast, opened[1])] == [("a.png", message)]
    choose(fast, photos[1:])
    until(fast, lambda: text(fast, "#status") == "3 of 3 done, 1 failed")
    sent = proxy.seen.count("/predict")
    again = fast.find_element(By.ID, "again")
    again.send_keys(Keys.ENTER)
    until(fast, lambda: text(fast, "#status") == "3 of 3 done")
    assert proxy.seen.count("/predict") == sent + 1
    assert not again.is_displayed()
    assert fast.switch_to.active_element.get_attribute("id") == "choose"
    assert not all_of(fast, ".error")
    rows = [(row["file_name"], row["error"]) for row in saved(fast, opened[1])]
    assert rows == [(f"{name}.png", "") for name in "abc" for _ in range(5)]


def test_a_date_in_retry_after(fast, proxy, photos):
    show(fast, proxy.url)
    proxy.faults["/predict"] = [error_answer(503, "Wed, 21 Oct 2015 07:28:00 GMT")]
    choose(fast, photos[:1])
    until(fast, lambda: text(fast, "#status").startswith("1 of 1 done; a.png: digit-"))
    assert fast.execute_script("return window.waits") == [1000]


def test_what_does_not_pass_is_not_tried_again(opened, proxy, photos):
    driver = opened[0]
    show(driver, proxy.url)
    proxy.faults["/predict"] = [error_answer(500)]
    choose(driver, photos[:1])
    until(driver, lambda: text(driver, "#status") == "1 of 1 done, 1 failed; a.png: not now")
    assert proxy.seen.count("/predict") == 1
    assert not driver.find_element(By.ID, "again").is_displayed()


def test_photos_that_were_cleared_are_not_waited_for(opened, proxy, photos):
    driver = opened[0]
    show(driver, proxy.url)
    proxy.faults["/predict"] = [error_answer(503, 50)] * 3  # all that are sent at a time
    choose(driver, photos)
    until(driver, lambda: len([note for note in all_of(driver, ".note") if "again in 50 s" in note.text]) == 3)
    driver.find_element(By.ID, "clear").click()
    choose(driver, photos[:1])
    until(driver, lambda: text(driver, "#status").startswith("1 of 1 done; a.png: digit-"))
    assert proxy.seen.count("/predict") == 4


def test_a_server_that_is_away_when_the_key_is_entered(fast, start, photos):
    with start("--api-key", "secret") as guarded, Proxy(guarded.url).running() as proxy:
        fast.get(proxy.url)
        until(fast, lambda: fast.find_element(By.ID, "key-form").is_displayed())
        proxy.faults["/model"] = [(DROP, {}, b"")] * 6
        choose(fast, photos[:1])
        enter(fast, "secret")
        until(fast, lambda: text(fast, "#model") == "The server cannot be reached.")
        assert proxy.seen.count("/model") == 7
        fast.find_element(By.ID, "again").click()
        until(fast, lambda: text(fast, "#status").startswith("1 of 1 done; a.png: digit-"))
        assert not fast.find_element(By.ID, "key-form").is_displayed()
        assert not fast.find_element(By.ID, "again").is_displayed()


def test_a_heat_map_is_waited_for(fast, proxy, photos):
    show(fast, proxy.url)
    choose(fast, photos[:1])
    until(fast, lambda: text(fast, "#status").startswith("1 of 1 done"))
    proxy.faults["/saliency"] = [(DROP, {}, b"")] * 6
    explain = fast.find_element(By.CLASS_NAME, "explain")
    explain.click()
    until(fast, lambda: text(fast, ".explanation") == "the server cannot be reached")
    assert proxy.seen.count("/saliency") == 6
    assert explain.get_attribute("aria-pressed") == "false"
    explain.click()
    until(fast, lambda: all_of(fast, ".heat"))
