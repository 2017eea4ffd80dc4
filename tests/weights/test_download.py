"""Downloads from a real server that stalls, cuts, lies and forgets."""

import dataclasses
import hashlib
import multiprocessing
import time

import pytest

from ppcls.errors import MachineError, WeightsError
from ppcls.weights.download import RetryPolicy, download, is_url
from tests.weights.download_server import CONTENT, QUICK

SHA256 = hashlib.sha256(CONTENT).hexdigest()


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


def test_attempts_end_when_patience_does(server, tmp_path):
    server.always = "stall"
    begun = time.monotonic()
    with pytest.raises(WeightsError, match=r"2 attempts\)"):
        download(server.url, tmp_path / "w", None, RetryPolicy(timeout=0.3, attempts=50, pause=0.01, patience=0.5))
    assert time.monotonic() - begun < 3
