"""Errors that end a request, and the answers to them."""

from __future__ import annotations

from typing import Any, Dict, Optional

CLIENT_CLOSED_REQUEST = 499  # nginx's status, in the metrics, of requests whose client left


class RequestError(Exception):
    """A request ends with this status and message.

    Args:
        status: HTTP's status code.
        message: what is wrong and what to do.
        headers: further headers of the answer.
        details: further keys of the answer's JSON.
    """

    def __init__(
        self,
        status: int,
        message: str,
        headers: Optional[Dict[str, str]] = None,
        details: Optional[Dict[str, Any]] = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}
        self.details = details or {}


class ClientDisconnectedError(Exception):
    """The connection was closed before the answer: there is nobody to answer."""


def overloaded(message: str) -> RequestError:
    """Return the error for a request that there is no room for now."""
    return RequestError(429, f"{message}; try again later", {"Retry-After": "1"})


def too_many_images(limit: int) -> RequestError:
    """Return the error for a request with too many images."""
    return RequestError(422, f"more than {limit} image{'s'[: limit > 1]} in one request; send several requests")
