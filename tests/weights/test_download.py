"""Downloads from a real server that stalls, cuts, lies and forgets."""

import dataclasses
import hashlib
import http.server
import multiprocessing
import os
import re
import threading
import time

import numpy as np
import paddle
import pytest

from ppcls.arch import spec
from ppcls.errors import MachineError, WeightsError
from ppcls.weights import create_model, read_weights
from ppcls.weights.download import RetryPolicy, download, is_url
from ppcls.weights.factory import local_weights
from ppcls.weights.names import name_schemes_of
from ppcls.weights.published import download_weights, public_weights
from tests.weights.torch_files import Weights

QUICK = RetryPolicy(timeout=0.4, attempts=3, pause=0.01, lock=5)
CONTENT = np.random.RandomState(0).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


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


def ranges(server):
    return [request.get("range") for request in server.requests]


def left(target):
    return sorted(path.name for path in target.parent.iterdir())


def test_a_file_is_fetched_once(server, tmp_path, capfd):
    target = tmp_path / "deep" / "w.pth"
    for _ in range(2):
        assert download(server.url, target, SHA256[:8], QUICK) == target
    assert target.read_bytes() == CONTENT
    assert ranges(server) == [None]
    assert left(target) == ["w.pth"]
    assert "B/s" not in capfd.readouterr().err  # no bar where nobody looks


@pytest.mark.parametrize("way", ["cut", "stall"])
def test_a_break_is_resumed(server, tmp_path, way):
    server.ways = [way, way]
    assert download(server.url, tmp_path / "w", SHA256, QUICK).read_bytes() == CONTENT
    assert ranges(server) == [None, "bytes=150000-", "bytes=225000-"]
    assert server.requests[1]["if-range"] == '"1"'


def test_a_later_process_resumes(server, tmp_path):
    server.always = "stall"
    with pytest.raises(WeightsError, match="cannot be downloaded"):
        download(server.url, tmp_path / "w", SHA256, dataclasses.replace(QUICK, attempts=1))
    assert left(tmp_path / "w") == ["w.part", "w.part.json"]
    server.always = "well"
    assert download(server.url, tmp_path / "w", SHA256, QUICK).read_bytes() == CONTENT
    assert ranges(server) == [None, "bytes=150000-"]
    assert left(tmp_path / "w") == ["w"]


def test_a_killed_process_frees_its_lock(server, tmp_path):
    server.always = "stall"
    patient = RetryPolicy(timeout=60)
    process = multiprocessing.get_context("fork").Process(
        target=download, args=(server.url, tmp_path / "w", None, patient)
    )
    process.start()
    end = time.monotonic() + 5
    while not ((tmp_path / "w.part").is_file() and (tmp_path / "w.part").stat().st_size) and time.monotonic() < end:
        time.sleep(0.02)
    message = (
        rf"/w: process {process.pid} on .* is fetching this file \(after 0\.1 s of waiting\); wait for it or stop it"
    )
    with pytest.raises(MachineError, match=message):
        download(server.url, tmp_path / "w", SHA256, dataclasses.replace(QUICK, lock=0.1))
    process.kill()
    process.join()
    server.always = "well"
    assert download(server.url, tmp_path / "w", SHA256, QUICK).read_bytes() == CONTENT
    assert ranges(server)[-1].startswith("bytes=")


def test_two_processes_fetch_once(server, tmp_path):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=download, args=(server.url, tmp_path / "w", SHA256, QUICK)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert len(server.requests) == 1
    assert (tmp_path / "w").read_bytes() == CONTENT


@pytest.mark.parametrize("etag", ['"2"', None, 'W/"1"'])
def test_another_version_starts_anew(server, tmp_path, etag):
    server.ways, server.content = ["cut"], CONTENT[::-1]
    if etag != '"2"':
        server.etag = etag
    with pytest.raises(WeightsError):
        server.always = 503
        download(server.url, tmp_path / "w", None, QUICK)
    server.content, server.etag, server.always = CONTENT, etag, "well"
    assert download(server.url, tmp_path / "w", SHA256, QUICK).read_bytes() == CONTENT
    assert ranges(server)[-1] == ("bytes=150000-" if etag == '"2"' else None)


@pytest.mark.parametrize("way", ["no range", "wrong range"])
def test_servers_that_cannot_resume(server, tmp_path, way):
    server.ways = ["cut", way]
    assert download(server.url, tmp_path / "w", SHA256, QUICK).read_bytes() == CONTENT


def test_a_part_of_something_else_is_given_up(server, tmp_path):
    """A part that was changed behind our back is found by the checksum, and the file fetched whole."""
    server.ways = ["cut", 503, 503]
    with pytest.raises(WeightsError, match="503"):
        download(server.url, tmp_path / "w", SHA256, QUICK)
    part = tmp_path / "w.part"
    part.write_bytes(bytes(len(part.read_bytes())))
    assert download(server.url, tmp_path / "w", SHA256, QUICK).read_bytes() == CONTENT
    part.write_bytes(bytes(400_000))
    (tmp_path / "w").unlink()
    assert download(server.url, tmp_path / "w", SHA256, QUICK).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("way", "message", "requests"),
    [
        ("stall", r"nothing came for 0\.4 s; 3 attempts\). Without a network, fetch", 3),
        ("claims more", "the connection ended after 300000 of 305000 bytes; 3 attempts", 1),
        ("claims less", "its sha256 is", 1),
        ("page", "a web page instead of weights", 1),
        (404, "the server answers 404", 1),
        (403, "the server answers 403", 1),
        (500, "the server answers 500 Internal Server Error; 3 attempts", 3),
        ("redirect ftp://127.0.0.1/w", "redirected to 'ftp://127.0.0.1/w': only http:// and https:// addresses", 1),
        ("redirect file:///etc/passwd", "redirected to 'file:///etc/passwd': only http:// and https:// addresses", 1),
        ("redirect /again", "more than 10 redirects", 11),
    ],
)
def test_what_does_not_pass(server, tmp_path, way, message, requests):
    server.always = way
    begun = time.monotonic()
    with pytest.raises(WeightsError, match=message) as caught:
        download(server.url, tmp_path / "w", SHA256, QUICK)
    assert time.monotonic() - begun < 5
    assert not (tmp_path / "w").exists()
    assert len(server.requests) >= requests
    if not str(way).startswith("redirect"):  # refused, not failed
        assert f"fetch that file elsewhere and put it at {tmp_path / 'w'}" in str(caught.value)


def test_passing_faults_pass(server, tmp_path):
    server.ways = [503, 429]
    assert download(server.url, tmp_path / "w", SHA256, QUICK).read_bytes() == CONTENT
    server.ways = [f"redirect {server.url}?signed"]
    assert download(server.url, tmp_path / "v", SHA256, QUICK).read_bytes() == CONTENT
    server.ways = ["no length"]
    assert download(server.url, tmp_path / "u", SHA256, QUICK).read_bytes() == CONTENT


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/w", "data://x", "http:///w", "s3://bucket/w"])
def test_other_schemes_are_refused(tmp_path, url):
    assert is_url(url)
    with pytest.raises(WeightsError, match="only http:// and https:// addresses can be fetched"):
        download(url, tmp_path / "w", None, QUICK)


def test_paths_are_no_urls():
    assert not any(is_url(path) for path in ("w.pth", "/a/b", "a//b", "C:\\w", "c://w", "~/w", "./x:y"))


def test_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WeightsError, match="cannot be written"):
        download("http://127.0.0.1:9/w", tmp_path / "file" / "w", None, QUICK)


@pytest.fixture
def published(server, tmp_path):
    """Return a variant's facts with weights on the server, and the model that they are of."""
    model = create_model("ConvMixer_256_8", class_num=10)
    naming = next(naming for naming in name_schemes_of(model) if naming.source == "timm")
    names, weights, state = naming.restore(list(model.state_dict())), Weights(), {}
    for ours, tensor in model.state_dict().items():
        state[names[ours]] = tensor.numpy().T if ours == "head.weight" else tensor.numpy()
    weights.save(tmp_path / "w.pth", {"state_dict": weights.state(state), "epoch": 3}, legacy=True)
    server.content = (tmp_path / "w.pth").read_bytes()
    sha256 = hashlib.sha256(server.content).hexdigest()[:8]
    return dataclasses.replace(spec("ConvMixer_256_8"), url=server.url, sha256=sha256), model


def test_published_weights(server, home, published):
    facts, model = published
    for _ in range(2):
        path = public_weights(facts, QUICK)
        assert path == home / "weights" / "model.pth.tar.safetensors"
    assert len(server.requests) == 1
    begun = path.stat().st_mtime_ns
    other = create_model("ConvMixer_256_8", class_num=10, pretrained=path)
    assert all(np.array_equal(a, b) for a, b in zip(other.state_dict().values(), model.state_dict().values()))
    # Another file by the same name is converted anew, if it is the right one.
    original = home / "weights" / "model.pth.tar"
    os.utime(original)
    assert public_weights(facts, QUICK).stat().st_mtime_ns > begun
    original.write_bytes(original.read_bytes() + b" ")
    with pytest.raises(WeightsError, match=r"its sha256 is .* delete it, or get"):
        public_weights(facts, QUICK)


def test_urls_everywhere(server, home, published, recipe, run):
    _, model = published
    other = create_model("ConvMixer_256_8", class_num=3, pretrained=server.url, drop_mismatched_head=True)
    np.testing.assert_array_equal(other.stem.conv.weight.numpy(), model.stem.conv.weight.numpy())
    cached = local_weights("ConvMixer", server.url)
    assert cached.parent == home / "weights"
    assert re.fullmatch(r"[0-9a-f]{8}-model\.pth\.tar\.safetensors", cached.name)
    net = create_model("ConvMixer", dim=16, depth=2, kernel_size=3, patch_size=4, class_num=10)
    paddle.save(net.state_dict(), str(home / "w.pdparams"))
    server.content = (home / "w.pdparams").read_bytes()
    url = server.url.replace("model.pth.tar", "tiny.pdparams")
    for key in ("Arch.pretrained", "Global.pretrained_model"):
        done = run("eval", "-c", recipe, "-o", f"{key}={url}", environment={"PPCLS_HOME": str(home)})
        assert "loaded 32 tensors (ppcls names)" in done.stdout + done.stderr


def test_what_is_fetched_must_be_weights(server, home):
    with pytest.raises(WeightsError, match=r"not a known format[^$]*It was fetched from http://127.* delete it"):
        download_weights(server.url, QUICK)


def test_without_a_network(home, published):
    facts, model = published
    facts = dataclasses.replace(facts, url="http://127.0.0.1:9/files/w.pdparams", sha256=None)
    with pytest.raises(WeightsError, match=r"cannot be downloaded.*Without a network, fetch that file") as caught:
        public_weights(facts, QUICK)
    place = home / "weights" / "w.pdparams"
    assert str(caught.value).endswith(f"put it at {place}")
    paddle.save(model.state_dict(), str(place))
    assert set(read_weights(public_weights(facts, QUICK))) == set(model.state_dict())
