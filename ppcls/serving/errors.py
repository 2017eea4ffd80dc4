"""Why a request is not answered with results."""

from __future__ import annotations

from typing import Any, Dict, Optional

LEFT = 499  # the status by which requests are counted whose client left, as nginx does


class RefusedError(Exception):
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


class ClientLeftError(Exception):
    """The connection was closed before the answer: there is nobody to answer."""


def overloaded(message: str) -> RefusedError:
    """Return the refusal of a request for which there is no room now."""
    return RefusedError(429, f"{message}; try again later", {"Retry-After": "1"})


def too_many_images(limit: int) -> RefusedError:
    """Return the refusal of a request with more images than one may have."""
    return RefusedError(422, f"more than {limit} image{'s'[: limit > 1]} in one request; send several requests")
