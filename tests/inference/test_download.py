"""Images from a real HTTP server, well-behaved and not."""

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ppcls.errors import DataError
from ppcls.inference.download import fetch, is_http_url
from ppcls.utils.http import Policy

PICTURE = bytes(range(256)) * 300


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.split("/")[1]
        getattr(self, name.split("?")[0].split("%")[0], self.missing)()

    def missing(self):
        self.send_error(404)

    def picture(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(PICTURE)))
        self.end_headers()
        self.wfile.write(PICTURE)

    def unsized(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(PICTURE)

    def short(self):
        self.send_response(200)
        self.send_header("Content-Length", str(2 * len(PICTURE)))
        self.end_headers()
        self.wfile.write(PICTURE)

    def drip(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        while True:
            self.wfile.write(b"x")
            time.sleep(0.02)

    def dripped_header(self):
        self.send_response(200)
        self.flush_headers()
        while True:
            self.wfile.write(b"X")
            time.sleep(0.02)

    def silent(self):
        self.server.released.wait(20)

    def moved(self):
        self.redirect("/picture")

    def circle(self):
        self.redirect("/circle")

    def file(self):
        self.redirect("file:///etc/passwd")

    def ftp(self):
        self.redirect("ftp://127.0.0.1/x.jpg")

    def redirect(self, where):
        self.send_response(302)
        self.send_header("Location", where)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    """Return the address of a running server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        running.released = threading.Event()
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.released.set()
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("path", ["picture", "moved", "unsized", "picture?name=größe 7", "picture%20x"])
def test_what_is_at_an_address_is_returned(server, path):
    assert fetch(f"{server}/{path}") == PICTURE


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nothing", "the server answers 404 Not Found"),
        ("short", f"the connection ended after {len(PICTURE)} of {2 * len(PICTURE)} bytes"),
        ("file", "redirected to 'file:///etc/passwd': only http:// and https://"),
        ("ftp", "redirected to 'ftp://127.0.0.1/x.jpg': only http:// and https://"),
        ("circle", "more than 10 redirects"),
    ],
)
def test_what_cannot_be_had_says_why(server, path, message):
    with pytest.raises(DataError, match="cannot be downloaded: .*" + message):
        fetch(f"{server}/{path}")


@pytest.mark.parametrize("path", ["picture", "unsized"])
def test_the_size_is_limited_whether_it_is_announced_or_not(server, path):
    with pytest.raises(DataError, match="larger than 9999 bytes; download it yourself"):
        fetch(f"{server}/{path}", Policy(max_bytes=9999))
    assert len(fetch(f"{server}/{path}", Policy(max_bytes=len(PICTURE)))) == len(PICTURE)


def test_slow_and_silent_servers_are_left(server):
    with pytest.raises(DataError, match=r"not complete after 0\.3 s"):
        fetch(f"{server}/drip", Policy(total_timeout=0.3))
    with pytest.raises(DataError, match=r"not complete after 0\.3 s"):
        fetch(f"{server}/dripped_header", Policy(total_timeout=0.3))
    with pytest.raises(DataError, match=r"nothing came for 0\.3 s"):
        fetch(f"{server}/silent", Policy(idle_timeout=0.3))
    with pytest.raises(DataError, match="stopped"):
        fetch(f"{server}/drip", stopped=lambda: True)


def test_addresses_without_a_server_say_so():
    with socket.socket() as free:  # bound, and not listening
        free.bind(("127.0.0.1", 0))
        with pytest.raises(DataError, match=r"cannot be downloaded: .*refused"):
            fetch(f"http://127.0.0.1:{free.getsockname()[1]}/x.jpg")
    for wrong in ("http://", "http://[::1/x.jpg", "http://127.0.0.1:port/x.jpg"):
        with pytest.raises(DataError, match="cannot be downloaded"):
            fetch(wrong)


def test_only_http_counts_as_an_address():
    assert is_http_url("HTTPS://example.org/a.jpg")
    assert not is_http_url("ftp://example.org/a.jpg")
    assert not is_http_url("photos/http/a.jpg")
