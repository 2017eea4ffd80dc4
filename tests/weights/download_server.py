"""A server of downloads that stalls, cuts, lies and forgets as it is told."""

import http.server
import re
import threading

import numpy as np
import pytest

from ppcls.weights.download import RetryPolicy

QUICK = RetryPolicy(timeout=0.4, attempts=3, pause=0.01, lock=5)
CONTENT = np.random.RandomState(0).bytes(300_000)


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves ``server.content`` as ``server.ways`` say, one way a request; then properly."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        server = self.server
        server.requests.append({name.lower(): value for name, value in self.headers.items()})
        way = server.ways.pop(0) if server.ways else server.always
        self.close_connection = True
        if isinstance(way, int):
            self.send_error(way)
            return
        if way.startswith("redirect "):
            self.send_response(302)
            self.send_header("Location", way.split(" ", 1)[1])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content, start, wanted = server.content, 0, re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        fits = self.headers.get("If-Range") in (None, server.etag)
        if wanted and fits and way != "no range":
            start = int(wanted[1])
            if start >= len(content):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        if start:
            shown = 0 if way == "wrong range" else start
            self.send_header("Content-Range", f"bytes {shown}-{len(content) - 1}/{len(content)}")
        if server.etag:
            self.send_header("ETag", server.etag)
        length = len(content) - start
        length += {"claims more": 5000, "claims less": -5000}.get(way, 0)
        if way != "no length":
            self.send_header("Content-Length", str(length))
        self.send_header("Content-Type", "text/html; charset=utf-8" if way == "page" else "application/octet-stream")
        self.end_headers()
        body = content[start:]
        self.wfile.write(body[: len(body) // 2] if way in ("cut", "stall") else body)
        self.wfile.flush()
        if way == "stall":
            server.stopped.wait(5)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass  # the client went away


@pytest.fixture
def server():
    with Server(("127.0.0.1", 0), Handler) as serving:
        serving.content, serving.etag, serving.ways, serving.always, serving.requests = CONTENT, '"1"', [], "well", []
        serving.stopped = threading.Event()
        serving.url = f"http://127.0.0.1:{serving.server_port}/files/model.pth.tar"
        thread = threading.Thread(target=serving.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield serving
        serving.stopped.set()
        serving.shutdown()
        thread.join()


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("PPCLS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"
