"""Fetch images from URLs in requests: from public addresses only, and within limits."""

from __future__ import annotations

import ipaddress
from typing import Callable

from ppcls.errors import DataError
from ppcls.utils import http

_REDIRECTS = 3
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
    is_allowed: Callable[[str], bool] = is_public,
    on_block: Callable[[int], None] = lambda size: None,
) -> bytes:
    """Return what is at a URL.

    Args:
        limit: in bytes.
        seconds: for everything but the resolver.
        is_allowed: which IP addresses may be connected to.
        on_block: called with the size of each block before it is stored; ends the fetch by raising.

    Raises:
        DataError: not allowed, not there, too large or too slow.
    """
    policy = http.Policy(
        idle_timeout=seconds,
        total_timeout=seconds,
        max_bytes=limit,
        max_redirects=_REDIRECTS,
        is_allowed=is_allowed,
    )
    try:
        return http.fetch(url, policy, {"Accept": "image/*"}, on_block)
    except http.TransferError as error:
        raise DataError(f"cannot be fetched: {error}") from None
    except http.HttpError as error:
        raise DataError(str(error)) from None
