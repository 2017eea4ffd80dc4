"""Around every request: security headers, metrics, and the end of connections."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Callable, Dict, List, Tuple

from starlette.responses import JSONResponse

from ppcls.serving.errors import CLIENT_CLOSED_REQUEST
from ppcls.serving.service import Service
from ppcls.utils.logging import get_logger

_LINGERING_TIMEOUT = 1.0  # seconds in which the remaining body of a refused request is read and dropped
_HEADERS = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]
_CLOSE = (b"connection", b"close")
_PROBES = ("/health", "/ready", "/metrics")  # answered on any connection: a full server must not look like a broken one
Message = Dict[str, Any]


class ServerMiddleware:
    """An ASGI application around another.

    A client that is answered before it has sent its whole body would often see a reset connection instead of the
    answer. So the remaining body is read for a while, then the connection is closed.

    Args:
        app: the application inside.
        service: has the metrics, and tells whether the server is draining.
        paths: counted by name in the metrics; all others are counted together.
    """

    def __init__(self, app: Callable, service: Service, paths: List[str]) -> None:
        self._app, self._service, self._paths = app, service, frozenset(paths)

    async def __call__(self, scope: Dict[str, Any], receive: Callable, send: Callable) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        request = _RequestCycle(scope, receive, send, self._service)
        started = time.monotonic()
        try:
            await self._answer(scope, request)
        except asyncio.CancelledError:  # --shutdown-timeout is over
            if not request.status:
                await request.send_unavailable("the server is shutting down and had no more time for this request")
        except Exception as error:
            if not request.status:  # else it was answered with 500 and an id, and logged with it
                get_logger().error("%s %s failed", scope["method"], scope["path"], exc_info=error)
                raise
        finally:
            path = scope["path"] if scope["path"] in self._paths else "other"
            status = request.status or CLIENT_CLOSED_REQUEST
            self._service.metrics.observe_request(path, status, time.monotonic() - started)

    async def _answer(self, scope: Dict[str, Any], request: _RequestCycle) -> None:
        limit, connections = self._service.max_connections, len(self._service.connections)
        if connections > limit and scope["path"] not in _PROBES:
            await request.send_unavailable(f"the server is full ({connections} connections, at most {limit})")
        else:
            await self._app(scope, request.receive, request.send)


class _RequestCycle:
    """One request and its answer."""

    def __init__(self, scope: Dict[str, Any], receive: Callable, send: Callable, service: Service) -> None:
        self._scope, self._receive, self._send, self._service = scope, receive, send, service
        headers: List[Tuple[bytes, bytes]] = scope["headers"]
        names = {name for name, _ in headers}
        self._body_pending = bool({b"content-length", b"transfer-encoding"} & names)
        self._body_requested = False
        # Such a client sends its body only when it is asked for it.
        self._expects_continue = any(name == b"expect" and value.lower() == b"100-continue" for name, value in headers)
        self.status = 0

    async def receive(self) -> Message:
        self._body_requested = True
        message: Message = await self._receive()
        self._body_pending = message["type"] == "http.request" and message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self._body_pending and (self._body_requested or not self._expects_continue):
                await self._discard_body()
            close = [_CLOSE] if self._body_pending or self._service.draining else []
            message = {**message, "headers": [*message.get("headers", []), *_HEADERS, *close]}
        await self._send(message)

    async def send_unavailable(self, message: str) -> None:
        """Answer 503 at once, and end the connection."""
        self.status = 503
        headers = {"Retry-After": "1", "Connection": "close"}
        answer = JSONResponse({"error": f"{message}; try again later"}, self.status, headers)
        await answer(self._scope, self._receive, self._send)

    async def _discard_body(self) -> None:
        deadline = time.monotonic() + _LINGERING_TIMEOUT
        while self._body_pending:
            try:
                await asyncio.wait_for(self.receive(), max(0.0, deadline - time.monotonic()))
            except asyncio.TimeoutError:
                return
