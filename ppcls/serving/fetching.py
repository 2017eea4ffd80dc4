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
_PART = 65536  # bytes
# Of https://www.iana.org/assignments/iana-ipv4-special-registry and iana-ipv6-special-registry, beside
# ``ipaddress``'s is_global, which differs between Python's patch releases.
_SPECIAL = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # of providers
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast, reserved, broadcast
        "2001::/23",  # protocols, Teredo among them
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "3fff::/20",
    )
)
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_MOVED = (301, 302, 303, 307, 308)


def is_public(address: str) -> bool:
    """Return whether an IP address is one of the public internet, and not of this machine or its networks."""
    parsed = ipaddress.ip_address(address.split("%")[0])
    if parsed in _NAT64:  # leads to an IPv4 address, where a network has no IPv4 of its own
        return is_public(str(ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)))
    if parsed.version == 6 and parsed not in _GLOBAL_UNICAST:
        return False
    return parsed.is_global and not any(parsed in network for network in _SPECIAL)


def fetch(
    url: str,
    limit: int,
    seconds: float,
    permitted: Callable[[str], bool] = is_public,
    take: Callable[[int], None] = lambda amount: None,
) -> bytes:
    """Return what is at a URL.

    Args:
        limit: bytes.
        seconds: for everything together, but for the resolver's own time.
        permitted: which IP addresses may be connected to.
        take: called with the bytes of each part that is stored; ends the fetch by raising.

    Raises:
        DataError: not permitted, not there, too large or too slow.
    """
    deadline = time.monotonic() + seconds
    where = ""  # whoever asked knows the first address
    for _ in range(_REDIRECTS + 1):
        try:
            moved, content = _get(_checked(url), limit, deadline, permitted, take)
        except DataError as error:
            raise DataError(f"{where}{error}") from None
        except (OSError, ValueError, http.client.HTTPException) as error:  # ValueError: names that TLS does not take
            raise DataError(f"{where}cannot be fetched ({type(error).__name__}: {error})") from None
        if moved is None:
            return content
        url = _joined(url, moved)
        where = f"redirected to {url!r}: "
    raise DataError(f"more than {_REDIRECTS} redirects")


def _joined(url: str, moved: str) -> str:
    try:
        return urljoin(url, moved)
    except ValueError as error:
        raise DataError(f"redirected to {moved[:200]!r}: not a URL ({error})") from None


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
    parts: SplitResult,
    limit: int,
    deadline: float,
    permitted: Callable[[str], bool],
    take: Callable[[int], None],
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
        content = bytearray()
        while part := response.read(_PART):
            if len(content) + len(part) > limit:
                raise DataError(f"larger than {limit} bytes")
            take(len(part))
            content += part
        _left(deadline)
        if response.length:
            raise DataError(f"the connection ended {response.length} bytes too early")
        return None, bytes(content)


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
