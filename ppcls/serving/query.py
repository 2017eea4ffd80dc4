"""The options that a request has in its address."""

from __future__ import annotations

from typing import Any, Dict

from starlette.requests import Request

from ppcls.serving.errors import RefusedError


async def check(request: Request) -> None:
    """Refuse options that the route does not know, or that are given more than once.

    Raises:
        RefusedError: 422, there is one.
    """
    allowed = [field.name for field in request.scope["route"].dependant.query_params]
    for key in request.query_params:
        if key not in allowed:
            raise RefusedError(422, f"{key[:80]}: unknown option; {request.url.path} takes {', '.join(allowed)}")
        given = len(request.query_params.getlist(key))
        if given > 1:
            raise RefusedError(422, f"{key}: given {given} times")


def problem(error: Dict[str, Any]) -> str:
    """Return what is wrong with an option's value."""
    name, value, bounds = error["loc"][-1], str(error["input"])[:80], error.get("ctx", {})
    if "ge" in bounds:
        return f"{name} {value}: must be at least {bounds['ge']}"
    if "le" in bounds:
        return f"{name} {value}: must be at most {bounds['le']}"
    return f"{name} {value!r}: must be a whole number"
