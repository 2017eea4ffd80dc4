"""Who may use the server."""

from __future__ import annotations

import hmac
from typing import Awaitable, Callable, Optional

from starlette.requests import Request

from ppcls.deploy.server.refusal import RefusedError


def key_check(key: Optional[str]) -> Callable[[Request], Awaitable[None]]:
    """Return what refuses requests without the key (401); without a key nothing is refused."""
    expected = None if key is None else key.encode()

    async def check(request: Request) -> None:
        if expected is None:
            return
        given = request.headers.get("x-api-key", "")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if not given and scheme.lower() == "bearer":
            given = token.strip()
        # Headers come decoded from Latin-1; compared are the bytes that were sent, in constant time.
        if not hmac.compare_digest(given.encode("latin-1"), expected):
            message = "this server needs an API key: header X-API-Key, or Authorization: Bearer"
            raise RefusedError(401, message, {"WWW-Authenticate": "Bearer"})

    return check
