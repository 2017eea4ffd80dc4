"""API keys."""

from __future__ import annotations

import hmac
import time
from typing import Any, Awaitable, Callable, List, Optional

from fastapi import Depends, Security
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.requests import Request

from ppcls.serving.errors import RequestError
from ppcls.utils.logging import get_logger

_MISSING = "this server needs an API key: header X-API-Key, or Authorization: Bearer"
_WRONG = "the API key is wrong: it is not the one that this server was started with"
_CHALLENGE = {"WWW-Authenticate": "Bearer"}
_LOG_SECONDS = 10.0  # between lines: guessing keys must not fill the disk


class _FailureLog:
    """Logs requests without the key, at most one line per ``_LOG_SECONDS``."""

    def __init__(self) -> None:
        self._next, self._count = 0.0, 0

    def record(self, request: Request) -> None:
        """Count a request; log the count and this request if there was no line for some time."""
        self._count += 1
        now = time.monotonic()
        if now < self._next:
            return
        host = request.client.host if request.client else "unknown"
        message = "%d requests without the API key refused (401), the last one from %s: %s %s"
        get_logger().warning(message, self._count, host, request.method, request.scope["route"].path)
        self._next, self._count = now + _LOG_SECONDS, 0


def dependencies(key: Optional[str]) -> List[Any]:
    """Return the dependencies of routes that need the key: the check, and its description for OpenAPI."""
    if key is None:
        return []
    schemes = (
        APIKeyHeader(name="X-API-Key", scheme_name="ApiKey", auto_error=False),
        HTTPBearer(scheme_name="Bearer", auto_error=False),
    )
    return [Depends(_key_check(key)), *(Security(scheme) for scheme in schemes)]


def _key_check(key: str) -> Callable[[Request], Awaitable[None]]:
    """Return the dependency that answers 401 to requests without the key."""
    expected = key.encode()
    failures = _FailureLog()

    async def check(request: Request) -> None:
        sent = request.headers.get("x-api-key", "")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if not sent and scheme.lower() == "bearer":
            sent = token.strip()
        # Headers come decoded from Latin-1. The bytes that were sent are compared, in constant time.
        if not hmac.compare_digest(sent.encode("latin-1"), expected):
            failures.record(request)
            raise RequestError(401, _WRONG if sent else _MISSING, _CHALLENGE)

    return check
