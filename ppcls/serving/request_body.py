"""Reading a request's body within limits of size, time and memory."""

from __future__ import annotations

import asyncio
import contextlib
from typing import AsyncIterator

from starlette.requests import Request

from ppcls.serving.errors import ClientDisconnectedError, RequestError
from ppcls.serving.limiter import Limiter, Reservation


@contextlib.asynccontextmanager
async def read_body(request: Request, limit: int, seconds: float, memory: Limiter) -> AsyncIterator[bytes]:
    """Give the body; ``memory`` counts its bytes until the block ends.

    Args:
        limit: of the body, in bytes.
        seconds: in which it must arrive.

    Raises:
        RequestError: 400, 408, 413, 415 or 429.
        ClientDisconnectedError: the client closed the connection.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise RequestError(415, f"Content-Encoding {encoding!r}: bodies are not decompressed here; send it as it is")
    _check_length(request.headers.get("content-length"), limit)
    body = bytearray()
    with memory.reservation() as reservation:
        try:
            await asyncio.wait_for(_read(request, body, limit, reservation), seconds)
        except asyncio.TimeoutError:
            raise RequestError(408, f"the body did not arrive within {seconds:g} s ({len(body)} bytes came)") from None
        yield bytes(body)


def _check_length(length: object, limit: int) -> None:
    if length is not None and str(length).isdecimal() and int(str(length)) > limit:
        raise _too_large(limit)


def _too_large(limit: int) -> RequestError:
    return RequestError(413, f"the body is larger than {limit} bytes; send fewer or smaller images")


async def _read(request: Request, body: bytearray, limit: int, reservation: Reservation) -> None:
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnectedError
        chunk = message.get("body", b"")
        if len(body) + len(chunk) > limit:
            raise _too_large(limit)
        reservation.grow(len(chunk))
        body += chunk
        more = message.get("more_body", False)
