"""Connections that are too slow: uvicorn waits for ever for a request's head, and for a client to read its answer."""

from __future__ import annotations

import asyncio
from typing import Any, Optional, Type

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_FIRST_WORD = 1.0  # seconds that a new connection has to send its request when the server ends
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class _Protocol(H11Protocol):
    seconds = 0.0
    _head_timer: Optional[asyncio.TimerHandle] = None
    _write_timer: Optional[asyncio.TimerHandle] = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

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
            self.loop.call_later(_FIRST_WORD, self._end_if_silent)
        else:
            super().shutdown()

    def _end_if_silent(self) -> None:
        if not self.transport.is_closing():
            super().shutdown()

    def _watch_head(self) -> None:
        waiting = self.conn.their_state is h11.IDLE and not self.transport.is_closing()
        if waiting and self._head_timer is None:
            self._head_timer = self.loop.call_later(self.seconds, self._give_up)
        elif not waiting and self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        # An answer may have been completed since the timer was set; then the connection is idle, which has a timeout
        # of its own.
        if self.conn.their_state is h11.IDLE and self.timeout_keep_alive_task is None:
            self.transport.write(_TOO_SLOW)
            self.transport.close()


def protocol(seconds: float) -> Type[H11Protocol]:
    """Return a protocol for uvicorn in which a request's head must arrive within ``seconds``.

    An answer that the client does not read for as long ends the connection too.
    """
    return type("Protocol", (_Protocol,), {"seconds": seconds})
