"""The query parameters of requests."""

from __future__ import annotations

from typing import Any, Dict, Optional, Type

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from ppcls.serving.errors import RequestError

_SHOWN = 80  # characters of a name or value, in messages


class PredictOptions(BaseModel):
    """Options of ``POST /predict``."""

    model_config = ConfigDict(extra="forbid")

    topk: Optional[int] = Field(
        None, ge=1, description="classes in the answer, at most all; default: as the server was started"
    )


class SaliencyOptions(BaseModel):
    """Options of ``POST /saliency``."""

    model_config = ConfigDict(extra="forbid")

    class_id: Optional[int] = Field(None, ge=0, description="default: the best class")
    grid: int = Field(7, ge=3, le=14, description="cells per side; the cost grows with its square")


OPTIONS: Dict[str, Type[BaseModel]] = {"/predict": PredictOptions, "/saliency": SaliencyOptions}


async def check_repeated(request: Request) -> None:
    """Refuse options that are given more than once; FastAPI would take the last.

    Raises:
        RequestError: 422, an option is given more than once.
    """
    for key in request.query_params:
        count = len(request.query_params.getlist(key))
        if count > 1:
            raise RequestError(422, f"{key[:_SHOWN]}: given {count} times")


def describe_error(error: Dict[str, Any], path: str) -> str:
    """Return what is wrong with an option, from pydantic's error."""
    name, value, bounds = str(error["loc"][-1])[:_SHOWN], str(error["input"])[:_SHOWN], error.get("ctx", {})
    if error["type"] == "extra_forbidden":
        return f"{name}: unknown option; {path} takes {', '.join(OPTIONS[path].model_fields)}"
    if "ge" in bounds:
        return f"{name} {value}: must be at least {bounds['ge']}"
    if "le" in bounds:
        return f"{name} {value}: must be at most {bounds['le']}"
    return f"{name} {value!r}: must be a whole number"
