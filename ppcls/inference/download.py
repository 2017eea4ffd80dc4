"""Images by URL, within limits: what a server sends is not trusted."""

from __future__ import annotations

import http.client
import io
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any, Callable, List, Optional, Type, TypeVar

import ppcls
from ppcls.errors import DataError

SCHEMES = ("http", "https")
_BLOCK = 1 << 16
_Connection = TypeVar("_Connection", bound=http.client.HTTPConnection)
_KEPT = "%/:?#[]@!$&'()*+,;=~"  # what has a meaning in a URL, or is quoted already


@dataclass(frozen=True)
class Limits:
    """What a download may take.

    Attributes:
        size: bytes.
        seconds: for all of it, from the first connection to the last byte; resolving names is not counted.
        silence: seconds to wait for a connection, or for the next bytes.
    """

    size: int = 100 * 2**20
    seconds: float = 60.0
    silence: float = 15.0


def is_url(text: str) -> bool:
    """Return whether this is a URL that can be downloaded."""
    return text.lower().startswith(tuple(f"{scheme}://" for scheme in SCHEMES))


def fetch(url: str, limits: Limits = Limits(), stopped: Callable[[], bool] = lambda: False) -> bytes:
    """Return what is at a URL.

    Args:
        stopped: asked between two blocks whether the answer is still wanted.

    Raises:
        DataError: it cannot be had, is too large, takes too long, or leads to something else than HTTP.
    """
    headers = {"User-Agent": f"ppcls/{ppcls.__version__}", "Accept": "image/*,*/*;q=0.5"}
    try:
        request = urllib.request.Request(urllib.parse.quote(url, safe=_KEPT), headers=headers)
        with _opener(limits, time.monotonic() + limits.seconds).open(request, timeout=limits.silence) as response:
            return _read(response, limits, stopped)
    except urllib.error.HTTPError as error:
        raise DataError(f"cannot be downloaded: HTTP {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise DataError(f"cannot be downloaded: {_reason(error.reason, limits)}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DataError(f"cannot be downloaded: {_reason(error, limits)}") from None


def _reason(error: Any, limits: Limits) -> str:
    if isinstance(error, _TooSlowError):
        return f"not complete after {limits.seconds:g} s"
    if _is_timeout(error):
        return f"nothing came for {limits.silence:g} s"
    return str(error) or type(error).__name__


def _is_timeout(error: Any) -> bool:
    # socket.timeout is another class before Python 3.10, and so are some of TLS
    return isinstance(error, TimeoutError) or "timed out" in str(error)


def _read(response: Any, limits: Limits, stopped: Callable[[], bool]) -> bytes:
    blocks: List[bytes] = []
    size, received = int(response.headers.get("Content-Length") or 0), 0
    while size <= limits.size:
        block = response.read1(_BLOCK)  # returns with what is there, so that ``stopped`` is asked
        if not block:
            break
        blocks.append(block)
        received += len(block)
        size = max(size, received)
        if stopped():
            raise DataError("the download was stopped")
    if size > limits.size:
        raise DataError(f"cannot be downloaded: more than {limits.size} bytes; download it yourself if it is genuine")
    content = b"".join(blocks)
    if len(content) < size:
        raise DataError(f"cannot be downloaded: the connection ended after {len(content)} of {size} bytes")
    return content


class _Timed(io.RawIOBase):
    """What a socket receives, until a deadline: its own timeout begins anew with every byte.

    Raises:
        TimeoutError: on reading; too much time went by, without a byte or in all.
    """

    def __init__(self, raw: Any, connection: Any, deadline: float, silence: float) -> None:
        self._raw, self._connection, self._deadline, self._silence = raw, connection, deadline, silence

    def readable(self) -> bool:
        """Return True, as the standard library asks."""
        return True

    def readinto(self, buffer: Any) -> Any:
        """Fill a buffer with what comes next; return how many bytes."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise _TooSlowError
        self._connection.settimeout(min(self._silence, left))
        try:
            return self._raw.readinto(buffer)
        except OSError as error:
            if left <= self._silence and _is_timeout(error):
                raise _TooSlowError from None
            raise

    def close(self) -> None:
        """Let go of the connection."""
        self._raw.close()
        super().close()


class _TooSlowError(TimeoutError):
    """All the time that a download may take is over."""


def _timed(kind: Type[_Connection], limits: Limits, deadline: float) -> Callable[..., _Connection]:
    """Return what makes connections whose answers, headers and content alike, are read until a deadline."""

    def answer(connection: Any, debuglevel: int = 0, method: Optional[str] = None) -> http.client.HTTPResponse:
        response = http.client.HTTPResponse(connection, debuglevel, method)
        raw = response.fp.detach()
        response.fp = io.BufferedReader(_Timed(raw, connection, deadline, limits.silence))
        return response

    def connect(host: str, timeout: float) -> _Connection:
        left = deadline - time.monotonic()
        if left <= 0:  # after redirects
            raise _TooSlowError
        connection = kind(host, timeout=min(timeout, left))
        connection.response_class = answer  # type: ignore[assignment]
        return connection

    return connect


class _Http(urllib.request.HTTPHandler):
    """HTTP and HTTPS with connections of one's own."""

    def __init__(self, limits: Limits, deadline: float) -> None:
        super().__init__()
        self._http = _timed(http.client.HTTPConnection, limits, deadline)
        self._https = _timed(http.client.HTTPSConnection, limits, deadline)

    def http_open(self, req: Any) -> Any:
        """Return the answer to a request."""
        return self.do_open(self._http, req)

    def https_open(self, req: Any) -> Any:
        """Return the answer to a request."""
        return self.do_open(self._https, req)

    https_request = urllib.request.HTTPHandler.http_request


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to HTTP only: not into the file system."""

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        """Follow a redirect, checked before the base class has its own words for what it does not follow."""
        target = headers.get("location") or headers.get("uri")
        scheme = urllib.parse.urlsplit(urllib.parse.urljoin(req.full_url, target)).scheme if target else None
        if scheme not in (None, *SCHEMES):
            raise DataError(f"cannot be downloaded: it redirects to {scheme}:, which is not followed")
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _opener(limits: Limits, deadline: float) -> urllib.request.OpenerDirector:
    """Return an opener that knows HTTP and nothing else."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        _Http(limits, deadline),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirects(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener
