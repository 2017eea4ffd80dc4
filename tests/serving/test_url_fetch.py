"""Images fetched from addresses: which are refused, and what a hostile server there can do."""

import http.server
import ipaddress
import socketserver
import threading
import time

import httpx
import pytest

from ppcls.errors import DataError
from ppcls.serving import url_fetch
from ppcls.serving.errors import ClientDisconnectedError, RequestError
from ppcls.serving.limiter import Limiter

LIMIT = 100_000


REQUESTED = []


class _Site(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        REQUESTED.append((self.path, self.headers["Host"]))
        if self.path.startswith("/to?"):
            self.send_response(302)
            self.send_header("Location", self.path.partition("?")[2])
            self.end_headers()
        elif self.path == "/slow":
            self.send_response(200)
            self.end_headers()
            for _ in range(100):  # a byte at a time, well within any timeout of a single read
                self.wfile.write(b"x")
                time.sleep(0.05)
        elif self.path == "/cut":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(bytes(40))
        elif self.path == "/large":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(bytes(LIMIT + 1))
        elif self.path == "/photo?a=b":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"the photo")
        else:
            self.send_error(404)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site():
    """Return the address of a web server on this machine."""

    class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
        daemon_threads = True

        def handle_error(self, *_):
            pass  # clients that are cut off

    with Server(("127.0.0.1", 0), _Site) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def only_this_address(address):
    return address == "127.0.0.1"


def fetch(url, seconds=5.0, is_allowed=only_this_address):
    return url_fetch.fetch(url, LIMIT, seconds, is_allowed)


def test_what_is_is_allowed_is_fetched(site):
    assert fetch(f"{site}/photo?a=b") == b"the photo"
    assert fetch(f"{site}/to?{site}/photo?a=b") == b"the photo"
    assert fetch(f"{site}/to?/photo?a=b") == b"the photo"
    assert REQUESTED[0] == ("/photo?a=b", site.removeprefix("http://"))


def test_redirects_are_checked_like_first_requests(site):
    with pytest.raises(DataError, match=r"^redirected to 'http://127\.0\.0\.2/photo': not a public address$"):
        fetch(f"{site}/to?http://127.0.0.2/photo")
    with pytest.raises(DataError, match="only http"):
        fetch(f"{site}/to?file:///etc/passwd")
    for place in ("http://[bad", "http://a.example:x/", "https://.example/"):
        with pytest.raises(DataError, match=r"redirected to .*not a URL|no such host"):
            fetch(f"{site}/to?{place}")
    with pytest.raises(DataError, match="more than 3 redirects"):
        fetch(f"{site}/to?/to?/to?/to?/photo?a=b")


def test_too_large_too_slow_or_not_there(site):
    with pytest.raises(DataError, match=f"larger than {LIMIT} bytes"):
        fetch(f"{site}/large")
    begun = time.monotonic()
    with pytest.raises(DataError, match=r"cannot be fetched: not complete after 0\.5 s"):
        fetch(f"{site}/slow", 0.5)
    assert time.monotonic() - begun < 4  # the site would take five seconds
    with pytest.raises(DataError, match="cannot be fetched: the connection ended after 40 of 100 bytes"):
        fetch(f"{site}/cut")
    with pytest.raises(DataError, match="the server answers 404 Not Found"):
        fetch(f"{site}/nothing")
    with pytest.raises(DataError, match="cannot be fetched"):
        fetch("http://127.0.0.1:1/")
    with pytest.raises(DataError, match="there is no such host"):
        fetch("http://no-such-host.invalid/")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://localhost/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f.0.0.1/",
        "http://0.0.0.0/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[2002:7f00:1::]/",
        "http://10.0.0.1/",
        "http://172.16.0.1/",
        "http://192.168.1.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fe80::1]/",
        "http://[fc00::1]/",
        "http://100.64.0.1/",
        "http://224.0.0.1/",
        "http://240.0.0.1/",
        "http://192.0.0.8/",
        "http://192.88.99.1/",
        "http://198.19.0.1/",
        "http://[fec0::1]/",
        "http://[::7f00:1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[64:ff9b:1::1]/",
        "http://[2001:0:1::1]/",
        "http://[2001:db8::1]/",
        "http://[2002:808:808::1]/",
        "http://[3fff::1]/",
        "http://[5f00::1]/",
        "http://[ff0e::1]/",
    ],
)
def test_addresses_that_are_not_public_are_refused(url):
    with pytest.raises(DataError, match=r"not a public address|there is no such host"):
        url_fetch.fetch(url, LIMIT, 5)


@pytest.mark.parametrize(
    "address", ["93.184.215.14", "192.0.1.1", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "64:ff9b::5db8:d70e"]
)
def test_public_addresses_are_public(address):
    assert url_fetch.is_public(address)
    assert ipaddress.ip_address(address).is_global


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("file:///etc/passwd", "only http"),
        ("ftp://a.example/b", "only http"),
        ("//a.example/b", "only http"),
        ("http:///b", "only http"),
        ("gopher://127.0.0.1:6379/_x", "only http"),
        ("http://user:word@a.example/", "with a password"),
        ("http://a.example/\r\nHost: b", "unusual characters"),
        ("http://a.example/ b", "unusual characters"),
        ("http://a.example:99999/", "not a URL"),
        ("http://[::1/", "not a URL"),
        ("", "only http"),
    ],
)
def test_other_urls_are_refused(url, message):
    with pytest.raises(DataError, match=message):
        fetch(url)


def test_what_is_fetched_is_counted_with_the_bodies(site):
    memory = Limiter(2 * LIMIT, "bytes of bodies")
    with memory.reservation() as reservation:
        assert url_fetch.fetch(f"{site}/photo?a=b", LIMIT, 5, only_this_address, reservation.grow) == b"the photo"
        assert memory.used == len(b"the photo")
        with memory.acquired(2 * LIMIT - 10), pytest.raises(RequestError, match="the server is full"):
            url_fetch.fetch(f"{site}/photo?a=b", LIMIT, 5, only_this_address, reservation.grow)
    assert memory.used == 0
    with pytest.raises(ClientDisconnectedError):  # nobody waits any more
        url_fetch.fetch(f"{site}/photo?a=b", LIMIT, 5, only_this_address, reservation.grow)
    assert memory.used == 0


def test_the_server_fetches_only_when_told_and_nothing_of_its_own_network(start, site):
    with start("--allow-urls") as running:
        urls = [f"{site}/photo?a=b", f"{running.url}/metrics", "file:///etc/passwd"]
        answer = httpx.post(f"{running.url}/predict", json={"images": [{"url": url} for url in urls]})
        assert answer.status_code == 422
        results = answer.json()["results"]
        assert [result["file_name"] for result in results] == urls
        assert [result["error"] for result in results[:2]] == ["not a public address"] * 2
        assert answer.json()["error"] == f"no image can be used: {urls[0]}: not a public address"
        assert "only http" in results[2]["error"]
        assert httpx.get(f"{running.url}/model").json()["urls"] is True
