"""What a download may do, and the errors that end one."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from dataclasses import dataclass
from typing import Callable, Iterator, Optional
from urllib.parse import SplitResult, urlsplit

SCHEMES = ("http", "https")


class HttpError(Exception):
    """A download failed; the text says why, without the URL that was asked for."""


class ForbiddenError(HttpError):
    """An address that is no URL, or that the policy does not allow."""


class StatusError(HttpError):
    """The server answered with a status that is no success.

    Attributes:
        status: of HTTP.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class TransferError(HttpError):
    """The connection failed, broke or was too slow; another attempt may succeed."""


class TooLargeError(HttpError):
    """There is more than the policy allows."""


@dataclass(frozen=True)
class Policy:
    """What a download may do.

    Attributes:
        idle_timeout: seconds to wait for a connection, or for the next bytes.
        total_timeout: seconds for everything from the first connection to the last byte, but for the resolver's own
            time; None for any time.
        max_bytes: of the content; None for any size.
        max_redirects: after which the download fails.
        from_https_to_http: whether a redirect may lead there.
        is_allowed: says of an IP address whether it may be connected to; no proxies are used then. None allows all.
    """

    idle_timeout: float = 30.0
    total_timeout: Optional[float] = None
    max_bytes: Optional[int] = None
    max_redirects: int = 10
    from_https_to_http: bool = True
    is_allowed: Optional[Callable[[str], bool]] = None


class Timeouts:
    """The timeouts of a policy, the total one running since this was made."""

    def __init__(self, policy: Policy) -> None:
        self._idle, self._total = policy.idle_timeout, policy.total_timeout
        self._end = float("inf") if self._total is None else time.monotonic() + self._total

    def left(self) -> float:
        """Return the seconds left of the total timeout.

        Raises:
            TransferError: none are.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise TransferError(f"not complete after {self._total:g} s")
        return left

    def of_next_step(self) -> float:
        """Return the seconds to wait for whatever comes next."""
        return min(self._idle, self.left())

    @contextlib.contextmanager
    def errors(self, where: str = "") -> Iterator[None]:
        """Turn errors of the network into ``TransferError``; what was cut off at the end of time says so."""
        try:
            yield
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.left()
            if isinstance(error, socket.timeout):
                raise TransferError(f"nothing came for {self._idle:g} s") from None
            raise TransferError(f"{where}{str(error) or type(error).__name__}") from None
        self.left()


def check_url(url: str) -> SplitResult:
    """Return the parts of a URL that can be fetched.

    Raises:
        ForbiddenError: it is none.
    """
    try:
        parts = urlsplit(url)
        port_is_number = parts.port is None or parts.port > 0
    except ValueError as error:
        raise ForbiddenError(f"not a URL ({error})") from None
    if parts.scheme not in SCHEMES or not parts.hostname or not port_is_number:
        raise ForbiddenError("only http:// and https:// addresses can be fetched")
    if parts.username is not None or not url.isprintable() or not url.isascii() or " " in url:
        raise ForbiddenError("a URL with a password or with unusual characters is not fetched")
    return parts
