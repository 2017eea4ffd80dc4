"""The HTTP client against real servers and proxies on this machine, with TLS where that is the point."""

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ppcls.utils import http

CONTENT = b"content" * 1000


class Site(BaseHTTPRequestHandler):
    """Serves ``CONTENT``, redirects to what follows ``/to?``, and does what proxies do."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.requests.append((self.path, dict(self.headers)))
        if "/to?" in self.path:
            self.send_response(302)
            self.send_header("Location", self.path.partition("?")[2])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def do_CONNECT(self):
        self.server.requests.append((self.path, dict(self.headers)))
        host, port = self.path.rsplit(":", 1)
        with socket.create_connection((host, int(port))) as upstream:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=forward, args=(upstream, self.connection))
            back.start()
            forward(self.connection, upstream)
            back.join()
        self.close_connection = True

    def log_message(self, *_):
        pass


def forward(source, target):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass  # a client that left


@contextlib.contextmanager
def serving(context=None):
    with Server(("127.0.0.1", 0), Site) as server:
        server.requests = []
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        server.url = f"http{'s' if context else ''}://localhost:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def site():
    with serving() as server:
        yield server


@pytest.fixture
def secure(tmp_path, monkeypatch):
    """Return a site with TLS, whose certificate is trusted during the test."""
    if not shutil.which("openssl"):
        pytest.skip("needs openssl to make a certificate")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject]
    subprocess.run([*command, "-out", certificate, "-keyout", key], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(context) as server:
        yield server


@pytest.fixture
def proxy(monkeypatch):
    """Return a proxy that the environment names, with a password."""
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with serving() as server:
        for scheme in http.SCHEMES:
            monkeypatch.setenv(f"{scheme}_proxy", f"http://user:p%40ss@127.0.0.1:{server.server_port}")
        yield server


AUTHORIZATION = "Basic dXNlcjpwQHNz"  # user:p@ss


def test_tls_is_verified(secure, monkeypatch):
    assert http.fetch(f"{secure.url}/a", http.Policy()) == CONTENT
    assert http.fetch(f"{secure.url}/a", http.Policy(is_allowed=lambda address: True)) == CONTENT
    assert secure.requests[0][1]["Host"] == secure.requests[1][1]["Host"] == secure.url[len("https://") :]
    monkeypatch.delenv("SSL_CERT_FILE")
    for policy in (http.Policy(), http.Policy(is_allowed=lambda address: True)):
        with pytest.raises(http.TransferError, match="CERTIFICATE_VERIFY_FAILED"):
            http.fetch(f"{secure.url}/a", policy)


def test_a_proxy_of_the_environment_is_used(proxy):
    assert http.fetch("http://images.invalid/a?b=c", http.Policy(), {"Accept": "image/*"}) == CONTENT
    path, headers = proxy.requests[0]
    assert path == "http://images.invalid/a?b=c"
    assert (headers["Host"], headers["Accept"]) == ("images.invalid", "image/*")
    assert headers["Proxy-Authorization"] == AUTHORIZATION


def test_tls_goes_through_a_proxy_unseen(proxy, secure):
    assert http.fetch(f"{secure.url}/a", http.Policy(total_timeout=10)) == CONTENT
    path, headers = proxy.requests[0]
    assert path == secure.url[len("https://") :]
    assert headers["Proxy-Authorization"] == AUTHORIZATION
    assert "Proxy-Authorization" not in secure.requests[0][1]


def test_what_the_environment_excepts_goes_past_the_proxy(proxy, site, monkeypatch):
    monkeypatch.setenv("no_proxy", "localhost")
    assert http.fetch(f"{site.url}/a", http.Policy()) == CONTENT
    assert not proxy.requests
    assert "Proxy-Authorization" not in site.requests[0][1]


def test_checked_addresses_are_never_left_to_a_proxy(proxy, site):
    """It would resolve the name itself."""
    assert http.fetch(f"{site.url}/a", http.Policy(is_allowed=lambda address: True)) == CONTENT
    assert not proxy.requests


@pytest.mark.parametrize("named", ["socks5://127.0.0.1:1", "http://", "http://127.0.0.1:port"])
def test_other_proxies_are_refused(site, monkeypatch, named):
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("http_proxy", named)
    with pytest.raises(http.ForbiddenError, match=r"the proxy for http \(http_proxy\) is not one of"):
        http.fetch(f"{site.url}/a", http.Policy())


def test_redirects_lead_out_of_tls_only_where_the_policy_says_so(secure, site):
    url = f"{secure.url}/to?{site.url}/a"
    assert http.fetch(url, http.Policy()) == CONTENT
    with pytest.raises(http.ForbiddenError, match=r"^redirected to 'http://localhost:.*': not encrypted, where"):
        http.fetch(url, http.Policy(allow_https_downgrade=False))
    assert len(site.requests) == 1
    assert http.fetch(f"{site.url}/to?{secure.url}/a", http.Policy(allow_https_downgrade=False)) == CONTENT


def test_names_are_resolved_once(site, monkeypatch):
    """A name that leads to an allowed address when it is checked, and elsewhere when it is connected to."""
    asked, resolve = [], socket.getaddrinfo

    def rebinding(host, *arguments, **options):
        if host == "rebinding.example":
            asked.append(host)
            host = "127.0.0.1" if len(asked) == 1 else "127.0.0.2"
        return resolve(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    checked = []
    policy = http.Policy(is_allowed=lambda address: checked.append(address) or address == "127.0.0.1")
    url = f"http://rebinding.example:{site.server_port}/a"
    assert http.fetch(url, policy) == CONTENT
    assert (asked, checked) == (["rebinding.example"], ["127.0.0.1"])
    with pytest.raises(http.ForbiddenError, match="not a public address"):
        http.fetch(url, policy)


def test_all_addresses_of_a_host_must_be_allowed_and_one_that_answers_is_taken(site, monkeypatch):
    tried, resolve, connect = [], socket.getaddrinfo, socket.create_connection

    def two_addresses(host, *arguments, **options):
        hosts = ["127.0.0.3", "127.0.0.1"] if host == "two.example" else [host]
        return [entry for host in hosts for entry in resolve(host, *arguments, **options)]

    def first_is_down(address, timeout):
        tried.append(address[0])
        if address[0] == "127.0.0.3":
            raise ConnectionRefusedError
        return connect(address, timeout)

    monkeypatch.setattr(socket, "getaddrinfo", two_addresses)
    monkeypatch.setattr(socket, "create_connection", first_is_down)
    url = f"http://two.example:{site.server_port}/a"
    with pytest.raises(http.ForbiddenError):
        http.fetch(url, http.Policy(is_allowed=lambda address: address == "127.0.0.1"))
    assert not tried
    assert http.fetch(url, http.Policy(is_allowed=lambda address: address.startswith("127."))) == CONTENT
    assert tried == ["127.0.0.3", "127.0.0.1"]


@pytest.mark.parametrize("allowed", [None, lambda address: True], ids=["own", "checked"])
def test_the_total_timeout_covers_the_handshake(allowed):
    """A server that accepts and says nothing, to which TLS is spoken."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = time.monotonic()
        policy = http.Policy(idle_timeout=5, total_timeout=0.3, is_allowed=allowed)
        with pytest.raises(http.TransferError, match=r"not complete after 0\.3 s"):
            http.fetch(f"https://127.0.0.1:{silent.getsockname()[1]}/", policy)
        assert time.monotonic() - begun < 3


def test_a_download_ends_when_its_block_callback_raises(site):
    def stop(size):
        raise KeyError(size)

    with pytest.raises(KeyError):
        http.fetch(f"{site.url}/a", http.Policy(), on_block=stop)


@pytest.mark.parametrize(("size", "fails"), [(len(CONTENT), False), (len(CONTENT) - 1, True)])
def test_the_size_is_limited_to_the_byte(site, size, fails):
    expectation = pytest.raises(http.TooLargeError) if fails else contextlib.nullcontext()
    with expectation:
        assert http.fetch(f"{site.url}/a", http.Policy(max_bytes=size)) == CONTENT


def test_locations_that_servers_forgot_to_quote_are_followed(site):
    assert http.fetch(f"{site.url}/to?/a%20b", http.Policy()) == CONTENT
    with socket.create_server(("127.0.0.1", 0)) as careless:

        def answer():
            connection, _ = careless.accept()
            with connection:
                connection.recv(65536)
                location = f"{site.url}/größe 7".encode()
                connection.sendall(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert http.fetch(f"http://127.0.0.1:{careless.getsockname()[1]}/", http.Policy()) == CONTENT
        thread.join()
    assert site.requests[-1][0] == "/gr%C3%B6%C3%9Fe%207"
