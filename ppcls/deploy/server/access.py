"""Who may use the server."""

from __future__ import annotations

import hmac
import time
from typing import Awaitable, Callable, Optional

from starlette.requests import Request

from ppcls.deploy.server.refusal import RefusedError
from ppcls.utils.logging import get_logger

_MISSING = "this server needs an API key: header X-API-Key, or Authorization: Bearer"
_WRONG = "the API key is wrong: it is not the one that this server was started with"
_CHALLENGE = {"WWW-Authenticate": "Bearer"}
_LOG_SECONDS = 10.0  # between lines: whoever guesses keys must not fill the disk


class _Log:
    """Says in the log who was refused, a line in a while."""

    def __init__(self) -> None:
        self._next, self._count = 0.0, 0

    def note(self, request: Request) -> None:
        """Count a refusal; log the count and the last one if there was no line for some time."""
        self._count += 1
        now = time.monotonic()
        if now < self._next:
            return
        host = request.client.host if request.client else "unknown"
        message = "%d requests without the API key refused (401), the last one from %s: %s %s"
        get_logger().warning(message, self._count, host, request.method, request.scope["route"].path)
        self._next, self._count = now + _LOG_SECONDS, 0


def key_check(key: Optional[str]) -> Callable[[Request], Awaitable[None]]:
    """Return what refuses requests without the key (401); without a key nothing is refused."""
    expected = None if key is None else key.encode()

    log = _Log()

    async def check(request: Request) -> None:
        if expected is None:
            return
        given = request.headers.get("x-api-key", "")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if not given and scheme.lower() == "bearer":
            given = token.strip()
        # Headers come decoded from Latin-1; compared are the bytes that were sent, in constant time.
        if not hmac.compare_digest(given.encode("latin-1"), expected):
            log.note(request)
            raise RefusedError(401, _WRONG if given else _MISSING, _CHALLENGE)

    return check
