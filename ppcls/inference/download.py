"""Download images, within limits of size and time."""

from __future__ import annotations

import urllib.parse
from typing import Callable

from ppcls.errors import DataError
from ppcls.utils import http

_SAFE = "%/:?#[]@!$&'()*+,;=~"  # has a meaning in a URL, or is quoted already
_HEADERS = {"Accept": "image/*,*/*;q=0.5"}
POLICY = http.Policy(idle_timeout=15.0, total_timeout=60.0, max_bytes=100 * 2**20)


def is_http_url(text: str) -> bool:
    """Return whether a text is a URL that can be downloaded."""
    return text.lower().startswith(tuple(f"{scheme}://" for scheme in http.SCHEMES))


def fetch(url: str, policy: http.Policy = POLICY, stopped: Callable[[], bool] = lambda: False) -> bytes:
    """Return what is at a URL.

    Args:
        stopped: asked between two blocks whether to give up.

    Raises:
        DataError: the download fails, is too large or takes too long, or the URL leads to another scheme than HTTP.
    """

    def check_stopped(_: int) -> None:
        if stopped():
            raise DataError("the download was stopped")

    try:
        return http.fetch(urllib.parse.quote(url, safe=_SAFE), policy, _HEADERS, check_stopped)
    except http.TooLargeError as error:
        raise DataError(f"cannot be downloaded: {error}; download it yourself if it is genuine") from None
    except http.HttpError as error:
        raise DataError(f"cannot be downloaded: {error}") from None
