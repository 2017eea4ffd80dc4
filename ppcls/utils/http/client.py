"""GET requests."""

from __future__ import annotations

import contextlib
import http.client
import re
import string
from typing import Callable, Iterator, Mapping, Optional
from urllib.parse import quote, urljoin, urlsplit

from ppcls.utils.http.connection import request
from ppcls.utils.http.policy import (
    ForbiddenError,
    HttpError,
    Policy,
    StatusError,
    Timeouts,
    TooLargeError,
    TransferError,
    check_url,
)

_BLOCK = 1 << 18  # bytes
_REDIRECTS = (301, 302, 303, 307, 308)


class Response:
    """A server's successful answer, open.

    Attributes:
        status: 200, or 206 for the rest of a file.
        headers: by name, upper or lower case alike.
        start: at which byte of the file the content begins; other than 0 only with 206.
        size: bytes of the whole file, None if the server does not tell.
    """

    def __init__(self, raw: http.client.HTTPResponse, max_bytes: Optional[int], timeouts: Timeouts) -> None:
        self.status, self.headers = raw.status, raw.headers
        self._raw, self._max_bytes, self._timeouts = raw, max_bytes, timeouts
        part = re.match(r"bytes (\d+)-", self.headers.get("Content-Range", "")) if self.status == 206 else None
        self.start = int(part[1]) if part else 0
        length = self.headers.get("Content-Length", "")
        self.size = self.start + int(length) if length.isdecimal() else None

    def blocks(self) -> Iterator[bytes]:
        """Yield the content as it comes.

        Raises:
            TransferError: the connection ended too early, or was too slow.
            TooLargeError: there is more than the policy allows.
        """
        received = self.start
        self._check_size(self.size or 0)
        while True:
            with self._timeouts.errors(f"the connection broke after {received} bytes: "):
                block = self._raw.read1(_BLOCK)
            if not block:
                break
            received += len(block)
            self._check_size(received)
            yield block
        if self.size is not None and received < self.size:
            raise TransferError(f"the connection ended after {received} of {self.size} bytes")

    def _check_size(self, size: int) -> None:
        if self._max_bytes is not None and size > self._max_bytes:
            raise TooLargeError(f"larger than {self._max_bytes} bytes")


def fetch(
    url: str,
    policy: Policy,
    headers: Optional[Mapping[str, str]] = None,
    on_block: Callable[[int], None] = lambda size: None,
) -> bytes:
    """Return what is at a URL.

    Args:
        headers: further headers of the request.
        on_block: called with the size of each block before it is stored; ends the download by raising.

    Raises:
        HttpError: the download failed.
    """
    content = bytearray()
    with get(url, policy, headers) as response:
        for block in response.blocks():
            on_block(len(block))
            content += block
    return bytes(content)


@contextlib.contextmanager
def get(url: str, policy: Policy, headers: Optional[Mapping[str, str]] = None) -> Iterator[Response]:
    """Give the answer to a GET request, redirects followed; the connection is closed after the block.

    Args:
        headers: further headers of the request.

    Raises:
        ForbiddenError: not a URL, or one that the policy does not allow.
        StatusError: the server answers with another status than 200 or 206.
        TransferError: there was no connection, or it broke before the answer's head was complete.
    """
    timeouts = Timeouts(policy)
    where, base = "", urlsplit("")
    for _ in range(policy.max_redirects + 1):
        with contextlib.ExitStack() as stack:
            with _where(where):
                parts = check_url(url)
                if base.scheme == "https" and parts.scheme != "https" and not policy.allow_https_downgrade:
                    raise ForbiddenError("not encrypted, where the address before was")
                raw = request(parts, policy, timeouts, headers or {}, stack)
                target = raw.getheader("Location") if raw.status in _REDIRECTS else None
                if target is None and raw.status not in (200, 206):
                    raise StatusError(raw.status, f"the server answers {raw.status} {raw.reason}")
            if target is None:
                yield Response(raw, policy.max_bytes, timeouts)
                return
        base, url = parts, _joined(url, target)
        where = f"redirected to {url[:1000]!r}: "
    raise ForbiddenError(f"more than {policy.max_redirects} redirects, perhaps without end")


@contextlib.contextmanager
def _where(where: str) -> Iterator[None]:
    """Begin the messages of errors with where a redirect led."""
    try:
        yield
    except HttpError as error:
        error.args = (f"{where}{error}",)
        raise


def _joined(url: str, target: str) -> str:
    try:
        # Headers come decoded from Latin-1; browsers quote what servers forgot to.
        return urljoin(url, quote(target, safe=string.punctuation, encoding="latin-1"))
    except (ValueError, UnicodeError) as error:
        raise ForbiddenError(f"redirected to {target[:200]!r}: not a URL ({error})") from None
