"""Timeouts of connections, and JSON for the errors below the application.

uvicorn waits for ever for a request's head, and for a client to read its answer. It answers malformed requests in plain
text.
"""

from __future__ import annotations

import asyncio
from typing import Any, Callable, Optional, Type

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from ppcls.utils import json_text

_NEW_CONNECTION_GRACE = 1.0  # seconds that a new connection has to send its request when the server ends
_MALFORMED = "this is not HTTP, or a request's head that is malformed or too long"


class _TimeoutProtocol(H11Protocol):
    """uvicorn's protocol with timeouts, and JSON for its own errors; ``protocol_class`` sets the attributes.

    Attributes:
        seconds: in which a request's head must arrive, and in which an answer must be read.
        count: called with the status of each error that is answered here.
    """

    seconds = 0.0
    count: Callable[[int], None]  # of a subclass: a static method
    _head_timer: Optional[asyncio.TimerHandle] = None
    _write_timer: Optional[asyncio.TimerHandle] = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._update_head_timer()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._update_head_timer()

    def connection_lost(self, exc: Optional[Exception]) -> None:
        for timer in (self._head_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_timer = self.loop.call_later(self.seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def shutdown(self) -> None:
        # A connection without a request yet was accepted: its request may be on the way, and will be answered.
        if self.cycle is None:
            self.loop.call_later(_NEW_CONNECTION_GRACE, self._close_if_idle)
        else:
            super().shutdown()

    def _close_if_idle(self) -> None:
        if not self.transport.is_closing():
            super().shutdown()

    def _update_head_timer(self) -> None:
        is_idle = self.conn.their_state is h11.IDLE and not self.transport.is_closing()
        if is_idle and self._head_timer is None:
            self._head_timer = self.loop.call_later(self.seconds, self._on_head_timeout)
        elif not is_idle and self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _on_head_timeout(self) -> None:
        self._head_timer = None
        # An answer may have been completed since the timer was set; then the keep-alive timeout applies.
        if self.conn.their_state is h11.IDLE and self.timeout_keep_alive_task is None:
            self._send_error(408, f"the request's head did not arrive within {self.seconds:g} s")

    def send_400_response(self, msg: str) -> None:
        self._send_error(400, _MALFORMED)

    def _send_error(self, status: int, message: str) -> None:
        """Answer what never reaches the application, or is malformed after its head, and close the connection."""
        if self.cycle is None or self.cycle.response_complete:  # else the application counts it
            self.count(status)
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = json_text.dumps({"error": message}).encode()
            headers = [
                ("content-type", "application/json"),
                ("content-length", str(len(body))),
                ("connection", "close"),
            ]
            for event in (h11.Response(status_code=status, headers=headers), h11.Data(body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event))
        self.transport.close()


def protocol_class(seconds: float, count: Callable[[int], None]) -> Type[H11Protocol]:
    """Return a protocol class for uvicorn in which heads must arrive, and answers be read, within ``seconds``.

    ``count`` is called with the status of each error that is answered here.
    """
    return type("Protocol", (_TimeoutProtocol,), {"seconds": seconds, "count": staticmethod(count)})
