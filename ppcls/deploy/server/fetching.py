"""Fetching images from addresses that requests name, public ones only.

The address that was checked is the one that is connected to, so that a name which resolves differently the second
time gains nothing. Redirects are checked like first requests.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from typing import Callable, Iterator, Optional, Tuple
from urllib.parse import SplitResult, urljoin, urlsplit

from ppcls.errors import DataError

_REDIRECTS = 3
_MOVED = (301, 302, 303, 307, 308)


def is_public(address: str) -> bool:
    """Return whether an IP address is one of the public internet, and not of this machine or its networks."""
    parsed = ipaddress.ip_address(address.split("%")[0])
    for attribute in ("ipv4_mapped", "sixtofour"):  # IPv6 addresses that lead to an IPv4 one
        inner = getattr(parsed, attribute, None)
        if inner is not None and not is_public(str(inner)):
            return False
    return parsed.is_global and not parsed.is_multicast and not parsed.is_reserved


def fetch(url: str, limit: int, seconds: float, permitted: Callable[[str], bool] = is_public) -> bytes:
    """Return what is at a URL.

    Args:
        limit: bytes.
        seconds: for everything together, but for the resolver's own time.
        permitted: which IP addresses may be connected to.

    Raises:
        DataError: not permitted, not there, too large or too slow.
    """
    deadline = time.monotonic() + seconds
    where = ""  # whoever asked knows the first address
    for _ in range(_REDIRECTS + 1):
        try:
            moved, content = _get(_checked(url), limit, deadline, permitted)
        except DataError as error:
            raise DataError(f"{where}{error}") from None
        except (OSError, http.client.HTTPException) as error:
            raise DataError(f"{where}cannot be fetched ({type(error).__name__}: {error})") from None
        if moved is None:
            return content
        url = urljoin(url, moved)
        where = f"redirected to {url!r}: "
    raise DataError(f"more than {_REDIRECTS} redirects")


def _checked(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port_is_number = parts.port is None or parts.port > 0
    except ValueError as error:
        raise DataError(f"not a URL ({error})") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_number:
        raise DataError("only http:// and https:// addresses can be fetched")
    if parts.username is not None or not url.isprintable() or not url.isascii() or " " in url:
        raise DataError("a URL with a password or with unusual characters is not fetched")
    return parts


def _get(
    parts: SplitResult, limit: int, deadline: float, permitted: Callable[[str], bool]
) -> Tuple[Optional[str], bytes]:
    """Return (where it moved to, b"") or (None, content)."""
    with contextlib.ExitStack() as stack:
        plain = stack.enter_context(_connected(parts, deadline, permitted))
        stack.enter_context(_cut_off_at(plain, deadline))
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port)
        stack.callback(connection.close)
        secure = parts.scheme == "https"
        context = ssl.create_default_context()
        connection.sock = context.wrap_socket(plain, server_hostname=parts.hostname) if secure else plain
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", target, headers={"Accept": "image/*", "User-Agent": "ppcls"})
        response = connection.getresponse()
        location = response.getheader("Location")
        if response.status in _MOVED and location:
            return location, b""
        if response.status != 200:
            raise DataError(f"the server there answered {response.status}")
        content = response.read(limit + 1)
        _left(deadline)
        if len(content) > limit:
            raise DataError(f"larger than {limit} bytes")
        if response.length:
            raise DataError(f"the connection ended {response.length} bytes too early")
        return None, content


def _connected(parts: SplitResult, deadline: float, permitted: Callable[[str], bool]) -> socket.socket:
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise DataError("there is no such host") from None
    if not all(permitted(str(entry[4][0])) for entry in found):
        raise DataError("not a public address")
    return socket.create_connection((str(found[0][4][0]), port), timeout=_left(deadline))


@contextlib.contextmanager
def _cut_off_at(connection: socket.socket, deadline: float) -> Iterator[None]:
    """Cut a connection off when time is up; a socket's own timeout begins anew with every byte."""
    handle = connection.dup()  # TLS takes the first one over

    def cut() -> None:
        with contextlib.suppress(OSError):
            handle.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(_left(deadline), cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        handle.close()


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("too slow")
    return left
