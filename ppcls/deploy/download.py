"""Images by URL, within limits: what a server sends is not trusted."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any, Callable, List

import ppcls
from ppcls.errors import DataError

SCHEMES = ("http", "https")
_BLOCK = 1 << 16
_KEPT = "%/:?#[]@!$&'()*+,;=~"  # what has a meaning in a URL, or is quoted already


@dataclass(frozen=True)
class Limits:
    """What a download may take.

    Attributes:
        size: bytes.
        seconds: for all of it, from the moment when the server begins to answer.
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
        with _opener().open(request, timeout=limits.silence) as response:
            return _read(response, limits, stopped)
    except urllib.error.HTTPError as error:
        raise DataError(f"cannot be downloaded: HTTP {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise DataError(f"cannot be downloaded: {_reason(error.reason, limits)}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DataError(f"cannot be downloaded: {_reason(error, limits)}") from None


def _reason(error: Any, limits: Limits) -> str:
    if isinstance(error, TimeoutError) or "timed out" in str(error):  # socket.timeout is another class before 3.10
        return f"nothing came for {limits.silence:g} s"
    return str(error) or type(error).__name__


def _read(response: Any, limits: Limits, stopped: Callable[[], bool]) -> bytes:
    deadline = time.monotonic() + limits.seconds
    blocks: List[bytes] = []
    size = int(response.headers.get("Content-Length") or 0)
    while size <= limits.size:
        block = response.read1(_BLOCK)  # returns with what is there, so that a slow server meets the deadline
        if not block:
            break
        blocks.append(block)
        size = max(size, sum(map(len, blocks)))
        if time.monotonic() > deadline:
            raise DataError(f"cannot be downloaded: not complete after {limits.seconds:g} s")
        if stopped():
            raise DataError("the download was stopped")
    if size > limits.size:
        raise DataError(f"cannot be downloaded: more than {limits.size} bytes; download it yourself if it is genuine")
    content = b"".join(blocks)
    if len(content) < size:
        raise DataError(f"cannot be downloaded: the connection ended after {len(content)} of {size} bytes")
    return content


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to HTTP only: not into the file system."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """Return the next request; the names are the base class's."""
        _require_http(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        """Follow a redirect, checked before the base class has its own words for what it does not follow."""
        target = headers.get("location") or headers.get("uri")
        if target:
            _require_http(urllib.parse.urljoin(req.full_url, target))
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _require_http(url: str) -> None:
    scheme = urllib.parse.urlsplit(url).scheme
    if scheme not in SCHEMES:
        raise DataError(f"cannot be downloaded: it redirects to {scheme}:, which is not followed")


def _opener() -> urllib.request.OpenerDirector:
    """Return an opener that knows HTTP and nothing else."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirects(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener
