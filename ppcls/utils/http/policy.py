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
    """The address is no URL, or the policy does not allow it."""


class StatusError(HttpError):
    """The server answered with a status that is no success.

    Attributes:
        status: the HTTP status code.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class TransferError(HttpError):
    """The connection failed, broke or was too slow; another attempt may succeed."""


class TooLargeError(HttpError):
    """The content is larger than the policy allows."""


@dataclass(frozen=True)
class Policy:
    """What a download may do.

    Attributes:
        idle_timeout: seconds to wait for a connection, or for the next bytes.
        total_timeout: seconds from the first connection to the last byte, without the resolver's time; None for no
            limit.
        max_bytes: of the content; None for no limit.
        max_redirects: after which the download fails.
        allow_https_downgrade: whether a redirect may lead from https to http.
        is_allowed: whether an IP address may be connected to; proxies are not used then. None allows all.
    """

    idle_timeout: float = 30.0
    total_timeout: Optional[float] = None
    max_bytes: Optional[int] = None
    max_redirects: int = 10
    allow_https_downgrade: bool = True
    is_allowed: Optional[Callable[[str], bool]] = None


class Timeouts:
    """The timeouts of a policy; the total one starts when this object is made."""

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

    def next_timeout(self) -> float:
        """Return the seconds to wait for the next step."""
        return min(self._idle, self.left())

    @contextlib.contextmanager
    def errors(self, where: str = "") -> Iterator[None]:
        """Translate network errors to ``TransferError``; the total timeout has a message of its own."""
        try:
            yield
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.left()
            if isinstance(error, socket.timeout):
                raise TransferError(f"nothing came for {self._idle:g} s") from None
            raise TransferError(f"{where}{str(error) or type(error).__name__}") from None
        self.left()


def check_url(url: str) -> SplitResult:
    """Return the parts of a URL.

    Raises:
        ForbiddenError: it is no URL that can be fetched.
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
