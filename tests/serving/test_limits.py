"""What is too much: bodies, pixels, images, requests; and who may use the server."""

import base64
import contextlib
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import textwrap
import time
import zlib

import httpx
import numpy as np
import pytest

from tests.helpers.recipes import ROOT
from tests.helpers.serving import encode
from tests.serving.requests import JSON, MULTIPART, PART, PNG, eventually, receive_all

BODY = 100_000


@pytest.fixture(scope="module")
def small(start):
    """Return a client of a server with small limits."""
    options = ("--max-body-mb", BODY / 2**20, "--max-buffer-mb", 0.25, "--queue", 4, "--max-images", 3)
    with start(*options, "--max-pixels", 10_000, "--max-wait", 0) as running:
        with httpx.Client(base_url=running.url, timeout=30) as client:
            client.server = running
            yield client
        running.alive()


def png(width, height, bits=1, grey=0):
    """Return a PNG file of black pixels, compressed as far as it goes."""
    compressor = zlib.compressobj(9)
    row = bytes(1 + (width * bits + 7) // 8)
    pixels = b"".join(compressor.compress(row) for _ in range(height)) + compressor.flush()
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, grey, 0, 0, 0)), (b"IDAT", pixels), (b"IEND", b"")]
    parts = [struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_bombs_are_refused_before_they_are_decoded(client, server):
    """A hundred times 900 million pixels, from 110 kilobytes: decoded, one of them would take 2.7 gigabytes."""
    bomb = png(30_000, 30_000)
    assert len(bomb) < 200_000
    client.post("/predict", files={"a": ("bomb.png", bomb)})
    before = server.memory()
    for _ in range(4):
        answer = client.post("/predict", files=[("a", ("bomb.png", bomb))] * 25)
        assert answer.status_code == 422
        assert "bomb.png: the image is 30000 x 30000, more than 64000000 pixels" in answer.json()["error"]
    assert server.memory() < before + 50


def test_thin_images_are_refused(client):
    """The short side is scaled to the model's: the long side of this one would become 16 million pixels long."""
    answer = client.post("/predict", files={"a": ("thin.png", png(1_000_000, 1))})
    assert answer.status_code == 422
    assert "the image is 1000000 x 1, one side more than 100 times the other" in answer.json()["error"]


def test_pixels(small):
    good, bad = encode(np.zeros((100, 100), np.uint8)), encode(np.zeros((100, 101), np.uint8))
    answer = small.post("/predict", files=[("a", ("good.png", good)), ("a", ("bad.png", bad))]).json()
    assert "class_ids" in answer["results"][0]
    assert answer["results"][1]["error"] == "the image is 101 x 100, more than 10000 pixels; make it smaller"


@pytest.mark.parametrize("sends_length", [True, False], ids=["length", "chunked"])
def test_a_body_that_is_too_large(small, sends_length):
    content = bytes(2 * BODY) if sends_length else (bytes(1000) for _ in range(200))
    answer = small.post("/predict", content=content, headers={"Content-Type": "image/png"})
    assert answer.status_code == 413
    assert answer.json()["error"] == f"the body is larger than {BODY} bytes; send fewer or smaller images"
    exactly = small.post("/predict", content=bytes(BODY), headers={"Content-Type": "image/png"})
    assert exactly.status_code == 422  # no image, but not too large


def test_a_body_within_the_limit_is_taken(client):
    """Twenty megabytes, which no other limit on the way may refuse."""
    answer = client.post("/predict", files={"a": ("large.bmp", encode(np.zeros((2600, 2600, 3), np.uint8), ".bmp"))})
    assert answer.status_code == 200


def test_a_client_that_sends_without_end_is_cut_off(small):
    with connect(small) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk, deadline = b"10000\r\n" + bytes(0x10000) + b"\r\n", time.monotonic() + 15
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while time.monotonic() < deadline:
                connection.sendall(chunk)


def test_a_client_that_asks_first_is_told_before_it_sends(small):
    with connect(small) as connection:
        headers = f"Host: x\r\nContent-Type: image/png\r\nExpect: 100-continue\r\nContent-Length: {BODY * 9}"
        connection.sendall(f"POST /predict HTTP/1.1\r\n{headers}\r\n\r\n".encode())
        assert receive_all(connection).startswith(b"HTTP/1.1 413 ")


@contextlib.contextmanager
def connect(client):
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=20) as connection:
        yield connection


def test_too_many_images(small, photo):
    files = [("a", (f"{n}.png", photo)) for n in range(4)]
    in_json = {"images": [base64.b64encode(photo).decode()] * 4}
    for answer in (small.post("/predict", files=files), small.post("/predict", json=in_json)):
        assert answer.status_code == 422
        assert answer.json()["error"] == "more than 3 images in one request; send several requests"


@contextlib.contextmanager
def unfinished(client, count, size=10):
    """Keep requests open whose bodies are not all there."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(connect(client))
            head = "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 90000\r\n\r\n"
            connection.sendall(head.encode() + bytes(size))
        time.sleep(0.3)
        yield


def test_bodies_that_stall_keep_nobody_out(small, photo):
    """Four requests fit into the queue; ten stall in their bodies."""
    with unfinished(small, 10):
        assert small.post("/predict", files={"a": ("a.png", photo)}).status_code == 200


def test_more_bytes_than_there_is_room_for(small, photo):
    with unfinished(small, 3, 80_000):
        answer = small.post("/predict", content=bytes(80_000), headers={"Content-Type": "image/png"})
        assert answer.status_code == 429
        assert "bytes of bodies" in answer.json()["error"]
    assert eventually(lambda: "ppcls_buffered_bytes 0.0" in small.get("/metrics").text)


@pytest.mark.parametrize(
    ("headers", "body", "status", "message"),
    [
        ({}, b"x", 415, "Content-Type '(none)': send multipart/form-data"),
        ({"Content-Type": "text/plain"}, b"x", 415, "Content-Type 'text/plain'"),
        ({**PNG, "Content-Encoding": "gzip"}, b"x", 415, "Content-Encoding 'gzip': bodies are not decompressed"),
        (PNG, b"", 422, "the request has no image"),
        ({"Content-Type": "multipart/form-data"}, b"x", 400, "without a boundary"),
        (MULTIPART, b"x", 400, "the multipart body is malformed"),
        (MULTIPART, PART + b"data", 400, "the multipart body is cut off"),
        (MULTIPART, b"--b--\r\n", 422, "the request has no image"),
        (MULTIPART, b"--b\r\nX: y\r\n\r\ndata\r\n--b--\r\n", 400, "a part has no Content-Disposition"),
        (
            MULTIPART,
            b'--b\r\nContent-Disposition: form-data; name="topk"\r\n\r\n3\r\n--b--\r\n',
            400,
            "form field 'topk' is not a file",
        ),
        (JSON, b"{", 400, "the body is not JSON"),
        (JSON, b"\xff", 400, "the JSON must be"),
        (JSON, b"{ }", 400, "the JSON must be"),
        (JSON, b'{"images": [', 400, "the body is not JSON: it ends too early"),
        (JSON, b'{"images": ["AAAA", ', 400, "the body is not JSON: it ends too early"),
        (JSON, b"[" * 90_000, 400, "the JSON must be"),
        (JSON, b'{"images": [' + b"{}," * 20_000, 400, "images[0]: must be base64"),
        (JSON, b'{"images": ["AAAA", ]}', 400, "images[1]: must be base64"),
        (JSON, b'{"images": ["AAAA"', 400, "the body is not JSON: ',' is missing"),
        (JSON, b'{"images": ["AAAA', 400, "the body is not JSON: a string does not end"),
        (JSON, b'{"images": ["AAAA"]} x', 400, "the body is not JSON: something follows its end"),
        (JSON, b'{"images": [{"name": "\t", "data": ""}]}', 400, "the body is not JSON: a string is malformed"),
        (JSON, b'{"images": [{"name": "\\ud800", "data": ""}]}', 422, "half of a surrogate pair is no character"),
        (JSON, b'{"images": [{"data": "a", "data": "b"}]}', 422, 'images[0]: "data" is given twice'),
        (JSON, b'{"images": ["a"], "images": ["b"]}', 422, '"images" is given twice'),
        (JSON, b'{"images": [{"name": "' + b"n" * 20_000 + b'"}]}', 422, "a name or URL of 20000 bytes"),
        (JSON, b'{"images": ["' + b'\\"' * 20_000 + b'"]}', 422, "a text of more than 16384 bytes"),
        (JSON, b'{"images": ["' + b"\\" * 40_000 + b'"]}', 422, "more than 16384 backslashes"),
        (JSON, b'{"images": [], "topk": 3}', 400, "and nothing else"),
        (JSON, b'{"images": []}', 422, "the request has no image"),
        (JSON, b'{"images": [{"path": "/etc/passwd"}]}', 400, "images[0]: must be base64"),
        (JSON, b'{"images": [{"data": "", "url": ""}]}', 400, "images[0]: must be base64"),
        (JSON, b'{"images": [{"data": 5}]}', 400, "images[0]: its values must be strings"),
        (JSON, b'{"images": ["***"]}', 422, "image 1: not base64"),
        (JSON, b'{"images": [{"url": "http://a.example/b.png"}]}', 422, "does not fetch URLs (--allow-urls)"),
    ],
)
def test_malformed_requests(small, headers, body, status, message):
    answer = small.post("/predict", content=body, headers=headers)
    assert answer.status_code == status
    assert message in answer.json()["error"]


def test_structure_is_not_built_before_it_is_checked(client, server):
    """As objects, 31 megabytes of ``{},`` would take nearly a gigabyte."""
    small_body = b'{"images": [' + b'"AAAA",' * 40 + b'""]}'
    assert client.post("/predict", content=small_body, headers=JSON).status_code == 422
    before = server.memory()
    for part in (b"{},", b"[],", b'"",'):
        body = b'{"images": [' + part * (31_000_000 // len(part)) + b'""]}'
        assert client.post("/predict", content=body, headers=JSON).status_code in (400, 422)
    assert server.memory() < before + 200


def test_strings_are_read_as_json_has_them(client, photo):
    """With all escapes that encoders use: of slashes (PHP), plus (.NET), equals (Gson), quotation marks and others."""
    base64_of = base64.b64encode(photo).decode()
    assert "/" in base64_of
    assert "+" in base64_of
    escaped = base64_of.replace("/", "\\/").replace("+", "\\u002B").replace("=", "\\u003d")
    in_lines = "\\r\\n".join(textwrap.wrap(base64_of, 76))
    names = ['a"b', "c\\", '\\"', "é\U0001f600", "\u2028"]
    for ascii_only in (True, False):
        items = ",\n".join(
            f'{{ "name" :{json.dumps(name, ensure_ascii=ascii_only)},"d\\u0061ta": "{escaped}"}}' for name in names
        )
        body = f'\ufeff\t{{"images" : [ {items}, "data:image/png;base64,{escaped}", "{in_lines}" ] }}\r\n'.encode()
        answer = client.post("/predict", content=body, headers=JSON)
        assert answer.status_code == 200
        results = answer.json()["results"]
        assert [result["file_name"] for result in results] == [*names, "image 6", "image 7"]
        assert all("class_ids" in result for result in results)


def test_the_key(start, photo):
    key = "geheim-e"
    options = ("--cors", "https://a.example")
    with (
        start(*options, environment={"PPCLS_API_KEY": key}) as guarded,
        httpx.Client(base_url=guarded.url) as client,
    ):
        for path in ("/", "/app.js", "/docs", "/health", "/ready", "/openapi.json"):
            assert client.get(path).status_code == 200
        for headers, status in (
            ({}, 401),
            ({"X-API-Key": ""}, 401),
            ({"X-API-Key": "geheim-é".encode()}, 401),
            ({"X-API-Key": key}, 200),
            ({"Authorization": f"Bearer {key}"}, 200),
            ({"Authorization": f"Basic {key}"}, 401),
        ):
            for path in ("/metrics", "/model"):
                assert client.get(path, headers=headers).status_code == status, (path, headers)
            for path in ("/predict", "/saliency?grid=3"):
                answer = client.post(path, files={"a": ("a.png", photo)}, headers=headers)
                assert answer.status_code == status, (path, headers)
        refused = client.post("/predict", content=b"x" * 1000)
        assert refused.headers["www-authenticate"] == "Bearer"
        assert refused.json()["error"].startswith("this server needs an API key: header X-API-Key")
        wrong = client.post("/predict", content=b"x", headers={"X-API-Key": "wrong"})
        assert wrong.json()["error"].startswith("the API key is wrong: ")
        # Counted each, and logged, but not a line for each.
        counted = client.get("/metrics", headers={"X-API-Key": key}).text
        assert 'ppcls_requests_total{code="401",path="/predict"} 6.0' in counted
        assert "without the API key refused (401), the last one from 127.0.0.1: GET /metrics" in guarded.log()
        assert guarded.log().count("(401)") < 5
        described = client.get("/openapi.json").json()
        schemes = described["components"]["securitySchemes"]
        assert schemes == {
            "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "Bearer": {"type": "http", "scheme": "bearer"},
        }
        for path in ("/predict", "/saliency", "/model", "/metrics"):
            (operation,) = described["paths"][path].values()
            assert operation["security"] == [{"ApiKey": []}, {"Bearer": []}]
        assert "security" not in described["paths"]["/health"]["get"]
        asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
        allowed = client.options("/predict", headers={**asked, "Access-Control-Request-Headers": "x-api-key"})
        assert allowed.headers["access-control-allow-origin"] == "https://a.example"
        other = client.options("/predict", headers={**asked, "Origin": "https://b.example"})
        assert "access-control-allow-origin" not in other.headers


def test_the_command_with_a_key_in_the_documentation(start, photo, tmp_path):
    if not shutil.which("curl"):
        pytest.skip("needs curl")
    (line,) = re.findall(r"^curl .*\$PPCLS_API_KEY.*$", (ROOT / "docs" / "serving.md").read_text(), re.MULTILINE)
    (tmp_path / "photo.jpg").write_bytes(photo)
    environment = {"PPCLS_API_KEY": "correct horse"}
    with start(environment=environment) as guarded:
        command = ["sh", "-c", line.replace("http://127.0.0.1:8001", guarded.url)]
        done = subprocess.run(
            command, cwd=tmp_path, env={**os.environ, **environment}, capture_output=True, text=True, check=True
        )
    (result,) = json.loads(done.stdout)["results"]
    assert len(result["class_ids"]) == 3


def test_one_image_is_one_image(start, photo):
    with start("--max-images", 1) as running:
        answer = httpx.post(f"{running.url}/predict", files=[("a", ("a.png", photo))] * 2)
    assert answer.json()["error"] == "more than 1 image in one request; send several requests"


def test_json_of_a_refusal_is_json_for_any_name(client):
    name = 'a"\\\n\u2028<b>.png'
    answer = client.post("/predict", json={"images": [{"name": name, "data": "AAAA"}]})
    assert json.loads(answer.content)["results"][0]["file_name"] == name
