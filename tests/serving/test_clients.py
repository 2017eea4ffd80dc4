"""Clients that are slow, that leave, that are many, that send rubbish; and the server's end."""

import base64
import collections
import concurrent.futures
import contextlib
import json
import random
import signal
import socket
import threading
import time

import httpx
import numpy as np
import pytest

from tests.helpers.serving import encode
from tests.serving.requests import MULTIPART, PART, eventually, receive_all


def connect(server):
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def head(length, kind="image/png"):
    return f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n".encode()


@pytest.fixture(scope="module")
def hasty(start):
    """Return a server that does not wait long."""
    with start("--read-timeout", 0.6, "--keep-alive", 0.5, "--decode-threads", 1) as running:
        yield running


def test_slow_clients_are_told_and_closed(hasty, photo):
    with connect(hasty) as connection:
        connection.sendall(head(1000) + bytes(10))
        answer = receive_all(connection)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"the body did not arrive within 0.6 s (10 bytes came)" in answer
    with connect(hasty) as connection, pytest.raises(OSError):  # a byte at a time does not help
        for byte in head(1000) + bytes(200):
            connection.sendall(bytes([byte]))
            time.sleep(0.02)
        raise AssertionError("a head of two seconds was accepted")
    with connect(hasty) as connection:  # a head that does not end
        connection.sendall(b"GET /health HTTP/1.1\r\nHost")
        answer = receive_all(connection)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert error_of(answer) == "the request's head did not arrive within 0.6 s"
    with connect(hasty) as connection:  # nothing at all
        assert receive_all(connection).startswith(b"HTTP/1.1 408 ")
    with connect(hasty) as connection:  # nothing after an answer
        connection.sendall(head(len(photo)) + photo)
        assert receive_all(connection).startswith(b"HTTP/1.1 200 ")
    with connect(hasty) as connection:  # quick enough, three times on one connection
        for _ in range(3):
            connection.sendall(head(len(photo))[:30])
            time.sleep(0.2)
            connection.sendall(head(len(photo))[30:] + photo)
            answer = b""
            while not answer.endswith(b"}}"):
                answer += connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200 ")


def test_answers_that_nobody_reads_are_given_up(hasty):
    """More answers on one connection than the system buffers; without an end of waiting all of them would come."""
    path, count = "/openapi.json", 1500
    length = len(httpx.get(f"{hasty.url}{path}").content)
    with connect(hasty) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() * count)
        time.sleep(2)
        received = 0
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(2**20):
                received += len(part)
        assert received < count * length


def error_of(answer):
    """Return what the last of several answers says is wrong."""
    (error,) = json.loads(answer.rpartition(b"\r\n\r\n")[2]).values()
    return error


def metric(server, name):
    lines = httpx.get(f"{server.url}/metrics").text.splitlines()
    return next((float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + " ")), 0.0)


def test_clients_that_leave_cost_nothing_more(hasty):
    """Twenty requests of eight large photos each are left at once: one thread would decode them for many seconds."""
    photo = encode(np.random.default_rng(0).integers(0, 255, (1000, 1000, 3), np.uint8), ".jpg")
    part = PART + photo + b"\r\n"
    body = part * 8 + b"--b--\r\n"
    seen = metric(hasty, 'ppcls_images_total{result="ok"}')
    for _ in range(20):
        with connect(hasty) as connection:
            connection.sendall(head(len(body), MULTIPART["Content-Type"]) + body)
    gone = 'ppcls_requests_total{code="499",path="/predict"}'
    assert eventually(lambda: metric(hasty, gone) + metric(hasty, 'ppcls_images_total{result="ok"}') >= seen + 20)
    for name in ("ppcls_requests_in_flight", "ppcls_buffered_bytes", "ppcls_queue_images"):
        assert eventually(lambda name=name: metric(hasty, name) == 0)
    with connect(hasty) as connection:  # within the body
        connection.sendall(head(1000) + bytes(10))
    assert eventually(lambda: metric(hasty, "ppcls_requests_in_flight") == 0)
    assert "Traceback" not in hasty.log()


def test_many_clients_at_once(start, photo):
    """Each of 600 requests from 64 clients is answered or told to come again; the memory does not grow with them."""
    codes = []
    with (
        start("--queue", 16, "--max-images", 4) as busy,
        httpx.Client(limits=httpx.Limits(max_connections=64)) as client,
    ):

        def ask(_):
            answer = client.post(f"{busy.url}/predict", files={"a": ("a.png", photo)}, timeout=60)
            codes.append(answer.status_code)

        with concurrent.futures.ThreadPoolExecutor(64) as pool:
            list(pool.map(ask, range(200)))
            before = busy.memory()
            list(pool.map(ask, range(400)))
        assert busy.memory() < before + 30
        assert len(codes) == 600
        assert set(codes) <= {200, 429}
        assert codes.count(200) > 50
        assert client.post(f"{busy.url}/predict", files={"a": ("a.png", photo)}).status_code == 200


def changed(rng, data):
    """Return the bytes with one to six changes."""
    data = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        place, kind = rng.randrange(len(data)), rng.randrange(4)
        if kind == 0:
            data[place] = rng.randrange(256)
        elif kind == 1:
            del data[place : min(place + rng.randint(1, 40), len(data) - 1)]
        elif kind == 2:
            data[place:place] = rng.randbytes(rng.randint(1, 40))
        else:
            data[place:place] = data[place : place + 40]
    return bytes(data)


def broken_requests(photo, count):
    """Yield requests in which something is wrong, always the same: bodies of the right length, and whole requests."""
    rng = random.Random(0)
    text = base64.b64encode(photo)
    pixels = np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)
    jpeg, bitmap = encode(pixels, ".jpg"), encode(pixels, ".bmp")  # without checksums: most changes are decoded
    good = [
        ("/predict", MULTIPART["Content-Type"], PART + photo + b"\r\n--b--\r\n"),
        ("/predict?topk=2", "image/jpeg", jpeg),
        ("/predict", "application/octet-stream", bitmap),
        ("/predict", "application/json", b'{"images":["' + text + b'",{"name":"b","data":"' + text + b'"}]}'),
        ("/saliency?class_id=1&grid=3", "image/png", photo),
    ]
    for number in range(count):
        path, kind, body = rng.choice(good)
        body = changed(rng, body) if number % 3 else body
        start = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {kind}\r\n"
        request = f"{start}Content-Length: {len(body)}\r\n\r\n".encode() + body
        yield request if number % 3 else changed(rng, request)


def test_rubbish_is_refused_and_never_breaks_the_server(server, photo):
    """Six hundred requests with changed bytes: an answer that is no failure of the server, or a closed connection."""
    codes = collections.Counter()
    memory = None
    for number, request in enumerate(broken_requests(photo, 600)):
        with connect(server) as connection:
            connection.sendall(request)
            if number % 3 == 0:  # its length may be a lie
                connection.shutdown(socket.SHUT_WR)
            try:
                answer = receive_all(connection)
            except ConnectionResetError:
                answer = b""
        code = int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0
        codes[code] += 1
        assert code < 500, (number, request, answer)
        assert code or number % 3 == 0, (number, request)
        if number == 200:
            memory = server.memory()
    assert min(codes[200], codes[400], codes[422]) > 20, codes
    assert server.memory() < memory + 30
    answer = httpx.post(f"{server.url}/predict", files={"a": ("a.png", photo)})
    assert answer.status_code == 200
    assert "Traceback" not in server.log()


def test_the_end_loses_no_request(start, photo):
    """Clients ask, each with a new connection for each request, until they are told that the server is ending."""
    with start() as ending, connect(ending) as slow:
        slow.sendall(head(len(photo)) + photo[:50])
        outcomes, told = [], threading.Event()

        def ask_until_told():
            while not told.is_set():
                answer = httpx.post(f"{ending.url}/predict", files={"a": ("a.png", photo)}, timeout=20)
                outcomes.append(answer.status_code)
                if answer.headers.get("connection") == "close":
                    told.set()

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            asking = [pool.submit(ask_until_told) for _ in range(8)]
            time.sleep(0.5)
            ending.process.send_signal(signal.SIGTERM)
            for future in asking:
                future.result(timeout=20)
        assert told.is_set()
        assert len(outcomes) > 8
        assert set(outcomes) == {200}
        slow.sendall(photo[50:])
        assert receive_all(slow).startswith(b"HTTP/1.1 200 ")
        assert ending.process.wait(10) == 0
        assert "Traceback" not in ending.log()


@pytest.mark.parametrize(
    "request_",
    [
        b"GARBAGE\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"GET / HTTP/1.1\r\nHost: a\r\n: e\r\n\r\n",
        head(3) + b"x" * 200_000,
    ],
    ids=["garbage", "TLS", "bad header", "the next head too long"],
)
def test_what_is_no_http_gets_an_error_of_the_usual_form_and_is_counted(server, request_):
    counted = 'ppcls_requests_total{code="400",path="other"}'
    before = metric(server, counted)
    with connect(server) as connection:
        connection.sendall(request_)
        answer = receive_all(connection)
    assert answer.count(b"HTTP/1.1 400 ") == 1
    assert error_of(answer) == "this is not HTTP, or a request's head that is malformed or too long"
    assert metric(server, counted) == before + 1


def test_a_body_of_another_type_is_refused_before_it_is_sent(server):
    for word in (b"100-continue", b"100-Continue"):
        with connect(server) as connection:
            connection.sendall(head(1000, "text/plain").replace(b"\r\n\r\n", b"\r\nExpect: " + word + b"\r\n\r\n"))
            answer = receive_all(connection)
        assert answer.startswith(b"HTTP/1.1 415 ")
        assert b"100 Continue" not in answer


def test_connections_that_were_accepted_are_answered_after_the_signal(start, photo):
    with start("--drain", 0) as ending, contextlib.ExitStack() as stack:
        connections = [stack.enter_context(connect(ending)) for _ in range(20)]
        ending.process.send_signal(signal.SIGTERM)
        assert eventually(lambda: "shutting down" in ending.log())
        for connection in connections:
            connection.sendall(head(len(photo)) + photo)
        for connection in connections:
            assert receive_all(connection).startswith(b"HTTP/1.1 200 ")
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{ending.url}/health")
        assert ending.process.wait(10) == 0
        assert "Traceback" not in ending.log()


def test_not_ready_while_draining(start):
    with start("--drain", 3) as ending:
        ending.process.send_signal(signal.SIGINT)
        assert eventually(lambda: httpx.get(f"{ending.url}/ready").status_code == 503, 3)
        assert httpx.get(f"{ending.url}/ready").json() == {"error": "the server is shutting down"}
        assert httpx.get(f"{ending.url}/health").status_code == 200
        assert ending.process.wait(15) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_does_not_end_is_given_up(start, number):
    with start("--shutdown-timeout", 0.5, "--drain", 0) as ending, connect(ending) as slow:
        slow.sendall(head(1000) + bytes(10))
        assert eventually(lambda: metric(ending, "ppcls_requests_in_flight") == 1)
        assert ending.stop(number, timeout=10) == 1
        assert "1 requests were given up after --shutdown-timeout" in ending.log()
        assert "Traceback" not in ending.log()
        answer = receive_all(slow)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b'{"error":"the server is shutting down and had no more time for this request' in answer


def test_an_idle_server_ends_at_once(start):
    with start("--drain", 0) as ending:
        begun = time.monotonic()
        assert ending.stop(signal.SIGINT) == 0
        assert time.monotonic() - begun < 10
        assert "Traceback" not in ending.log()
