"""Connections: direct, through a proxy, or to IP addresses that were checked."""

from __future__ import annotations

import base64
import contextlib
import http.client
import socket
import ssl
import threading
import urllib.request
from typing import Callable, Dict, Iterator, List, Mapping, Optional, Tuple, Type
from urllib.parse import SplitResult, unquote, urlsplit

import ppcls
from ppcls.utils.http.policy import SCHEMES, ForbiddenError, Policy, Timeouts, TransferError

_KINDS: Dict[str, Type[http.client.HTTPConnection]] = {
    "http": http.client.HTTPConnection,
    "https": http.client.HTTPSConnection,
}


def request(
    parts: SplitResult,
    policy: Policy,
    timeouts: Timeouts,
    headers: Mapping[str, str],
    stack: contextlib.ExitStack,
) -> http.client.HTTPResponse:
    """Return the answer to one request; ``stack`` closes its connection."""
    proxy = None if policy.is_allowed is not None else _proxy_for(parts)
    connection, target, proxy_headers = _connection(parts, proxy, timeouts.next_timeout())
    stack.callback(connection.close)
    with timeouts.errors():
        if policy.is_allowed is None:
            connection.connect()
        else:
            connection.sock = _connected_to_allowed(parts, policy.is_allowed, timeouts, stack)
        if policy.total_timeout is not None:
            stack.enter_context(_cut_off_after(timeouts.left(), connection.sock))
        agent = f"ppcls/{ppcls.__version__}"
        connection.request("GET", target, headers={"User-Agent": agent, **headers, **proxy_headers})
        response = connection.getresponse()
    stack.callback(response.close)
    return response


def _connection(
    parts: SplitResult, proxy: Optional[SplitResult], timeout: float
) -> Tuple[http.client.HTTPConnection, str, Dict[str, str]]:
    """Return a connection that is not open yet, the request's target, and the headers for a proxy."""
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if proxy is None:
        return _KINDS[parts.scheme](str(parts.hostname), _port(parts), timeout=timeout), path, {}
    authorization = {}
    if proxy.username is not None:
        user = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        authorization["Proxy-Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()
    kind = _KINDS["https" if "https" in (parts.scheme, proxy.scheme) else "http"]
    connection = kind(str(proxy.hostname), _port(proxy), timeout=timeout)
    if parts.scheme == "https":
        connection.set_tunnel(str(parts.hostname), _port(parts), authorization)
        return connection, path, {}
    return connection, f"http://{parts.netloc}{path}", authorization


def _port(parts: SplitResult) -> int:
    return parts.port or _KINDS[parts.scheme].default_port


def _proxy_for(parts: SplitResult) -> Optional[SplitResult]:
    """Return the proxy that the environment or the system names for an address, None without one.

    Raises:
        ForbiddenError: its scheme is not known.
    """
    address = urllib.request.getproxies().get(parts.scheme)
    if not address or urllib.request.proxy_bypass(parts.netloc):
        return None
    try:
        proxy = urlsplit(address if "://" in address else f"http://{address}")
        if proxy.scheme in SCHEMES and proxy.hostname and _port(proxy):
            return proxy
    except ValueError:
        pass
    raise ForbiddenError(f"the proxy for {parts.scheme} ({parts.scheme}_proxy) is not one of http:// or https://")


def _connected_to_allowed(
    parts: SplitResult, is_allowed: Callable[[str], bool], timeouts: Timeouts, stack: contextlib.ExitStack
) -> socket.socket:
    """Return a connection to a host, all of whose IP addresses must be allowed."""
    try:
        entries = socket.getaddrinfo(parts.hostname, _port(parts), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise TransferError("there is no such host") from None
    addresses = [str(entry[4][0]) for entry in entries]
    if not all(map(is_allowed, addresses)):
        raise ForbiddenError("not a public address")
    plain = stack.enter_context(_first_connected(addresses, _port(parts), timeouts))
    if parts.scheme == "http":
        return plain
    return ssl.create_default_context().wrap_socket(plain, server_hostname=parts.hostname)


def _first_connected(addresses: List[str], port: int, timeouts: Timeouts) -> socket.socket:
    while True:
        address = addresses.pop(0)
        try:
            return socket.create_connection((address, port), timeouts.next_timeout())
        except OSError:
            if not addresses:
                raise


@contextlib.contextmanager
def _cut_off_after(seconds: float, connection: socket.socket) -> Iterator[None]:
    """Close a connection after a time; a socket's own timeout begins anew with every byte."""
    # A socket of its own, without TLS: the other thread may be reading from the first one.
    handle = socket.fromfd(connection.fileno(), connection.family, connection.type)

    def cut() -> None:
        with contextlib.suppress(OSError):
            handle.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds + 0.01, cut)  # after the deadline, so that the reader finds it over
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        handle.close()
