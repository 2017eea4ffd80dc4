"""Requests byte by byte, and waiting for what they lead to."""

import time

PNG = {"Content-Type": "image/png"}
MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}
JSON = {"Content-Type": "application/json"}
PART = b'--b\r\nContent-Disposition: form-data; name="a"; filename="a.png"\r\n\r\n'


def receive_all(connection):
    """Return everything until the other side closes."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def eventually(condition, seconds=10):
    """Return whether the condition comes true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False
