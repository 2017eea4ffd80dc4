"""The routes."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from pathlib import Path
from typing import Any, Awaitable, Callable, Dict, List, Optional, TypeVar

from fastapi import Depends, FastAPI, Query
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request

import ppcls
from ppcls.serving import auth, metrics, openapi, query, uploads
from ppcls.serving.batcher import ModelError
from ppcls.serving.body import received
from ppcls.serving.door import Door
from ppcls.serving.errors import LEFT, ClientLeftError, RefusedError
from ppcls.serving.service import GRIDS, Service
from ppcls.utils.logging import get_logger

_PAGE = Path(__file__).with_name("page")
# All that is ever read from disk for a request, and it is read at the start.
_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/docs": ("docs.html", "text/html; charset=utf-8"),
    "/style.css": ("style.css", "text/css; charset=utf-8"),
    **{f"/{name}.js": (f"{name}.js", "text/javascript; charset=utf-8") for name in ("app", "view", "csv", "docs")},
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
T = TypeVar("T")


def build_app(service: Service) -> Door:
    """Return the whole application for a service."""
    app = FastAPI(title="ppcls", version=ppcls.__version__, docs_url=None, redoc_url=None, redirect_slashes=False)
    _add_errors(app)
    keyed = auth.checks(service.settings.api_key)
    _add_state(app, service, keyed)
    _add_model(app, service, [*keyed, Depends(query.check)])
    _add_page(app)
    if service.settings.cors:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(service.settings.cors),
            allow_methods=["GET", "POST"],
            allow_headers=["X-API-Key", "Authorization", "Content-Type"],
        )
    return Door(app, service, ["/predict", "/saliency", "/model", "/health", "/ready", "/metrics", *_FILES])


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(RefusedError)
    async def refused(_: Request, error: RefusedError) -> Response:
        return JSONResponse({"error": error.message, **error.details}, error.status, error.headers)

    @app.exception_handler(ClientLeftError)
    async def left(_: Request, __: ClientLeftError) -> Response:
        return Response(status_code=LEFT)  # nobody reads it

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        message = f"{request.method} {request.url.path}: {error.detail}; see /docs"
        return JSONResponse({"error": message}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        return JSONResponse({"error": "; ".join(map(query.problem, error.errors()))}, 422)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        name = uuid.uuid4().hex[:12]
        get_logger().error("%s %s failed, id %s", request.method, request.url.path, name, exc_info=error)
        return JSONResponse({"error": "the server failed; its log says more under this id", "id": name}, 500)

    @app.exception_handler(ModelError)
    async def model_failed(request: Request, error: ModelError) -> Response:
        name = uuid.uuid4().hex[:12]
        get_logger().error("%s, id %s: %s", request.url.path, name, error)
        return JSONResponse({"error": "the model failed; the server's log says more under this id", "id": name}, 500)


def _add_state(app: FastAPI, service: Service, keyed: List[Any]) -> None:
    settings = service.settings

    @app.head("/health", include_in_schema=False)
    @app.get("/health", summary="Whether the process works", responses=openapi.error(503, "start it anew"))
    async def health() -> Response:
        return _state("ok", service.why_not_alive())

    @app.head("/ready", include_in_schema=False)
    @app.get("/ready", summary="Whether to send requests here", responses=openapi.error(503, "not now"))
    async def ready() -> Response:
        return _state("ready", service.why_not_ready())

    metrics_keyed = [] if settings.open_metrics else keyed

    @app.get(
        "/metrics",
        summary="For Prometheus",
        dependencies=metrics_keyed,
        response_class=PlainTextResponse,
        responses=openapi.error(401) if metrics_keyed else None,
    )
    async def read_metrics() -> Response:
        return Response(service.metrics.text(), media_type=metrics.CONTENT_TYPE)

    @app.get(
        "/model",
        summary="The model, its classes and the server's limits",
        dependencies=keyed,
        responses=openapi.MODEL,
    )
    async def model() -> Dict[str, Any]:
        return {
            "model": service.model.name,
            "backend": service.model.backend,
            "device": service.model.device,
            "image_shape": list(service.model.description.image_shape),
            "class_num": service.model.description.class_num,
            "class_names": service.model.class_names,
            "topk": service.model.topk,
            "max_images": settings.max_images,
            "max_body": settings.max_body,
            "max_pixels": settings.max_pixels,
            "urls": settings.allow_urls,
            "saliency": not settings.no_saliency,
        }


def _state(good: str, problem: Optional[str]) -> Response:
    return JSONResponse({"status": good}) if problem is None else JSONResponse({"error": problem}, 503)


def _add_model(app: FastAPI, service: Service, checks: List[Any]) -> None:
    @app.post(
        "/predict",
        summary="Classify images",
        dependencies=checks,
        openapi_extra=openapi.BODY,
        responses=openapi.PREDICT,
    )
    async def predict(
        request: Request, topk: Optional[int] = Query(None, ge=1, description="at most all classes")
    ) -> Response:
        return await _answer(request, service, lambda found: service.predict(found, topk))

    @app.post(
        "/saliency",
        summary="Heat map of an image: by how much the score of a class falls where a part is covered",
        dependencies=checks,
        openapi_extra=openapi.BODY,
        responses=openapi.EXPLAIN,
    )
    async def explain(
        request: Request,
        class_id: Optional[int] = Query(None, ge=0, description="default: the best class"),
        grid: int = Query(7, ge=GRIDS[0], le=GRIDS[1], description="cells a side; the cost is its square"),
    ) -> Response:
        return await _answer(request, service, lambda found: service.explain(found, class_id, grid))


async def _answer(request: Request, service: Service, work: Callable[[Any], Awaitable[Dict[str, Any]]]) -> Response:
    """Read the images of a request, and answer it with what the work gives for them."""
    settings = service.settings
    content_type = request.headers.get("content-type", "")
    uploads.kind_of(content_type)  # before the body is read in vain
    begun = time.monotonic()
    with contextlib.ExitStack() as held:
        held.enter_context(service.open_requests.hold())
        service.requests.check()  # likewise
        async with received(request, settings.max_body, settings.read_timeout, service.memory) as body:
            # Only now: clients that stall in their bodies must not keep others out.
            held.enter_context(service.requests.hold())
            read = time.monotonic()

            async def parse_and_work() -> Dict[str, Any]:
                found = await service.parse(body, content_type)
                return await work(found)

            answer = await _unless_left(request, parse_and_work(), settings.timeout)
    now = time.monotonic()
    answer["milliseconds"].update(receive=round(1000 * (read - begun), 2), total=round(1000 * (now - begun), 2))
    return JSONResponse(answer)


async def _unless_left(request: Request, work: Awaitable[T], seconds: float) -> T:
    """Return the work's result; drop the work when the client leaves or time is up.

    Raises:
        ClientLeftError: the connection was closed.
        RefusedError: 503, time is up.
    """
    task = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({task, leaving}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if leaving.done():
            raise ClientLeftError
        raise RefusedError(503, f"no answer within {seconds:g} s; try again later", {"Retry-After": "1"})
    finally:
        for waiting in (task, leaving):
            waiting.cancel()
        await asyncio.gather(task, leaving, return_exceptions=True)


def _add_page(app: FastAPI) -> None:
    headers = {
        "Content-Security-Policy": _POLICY,
        "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
        "Cache-Control": "no-cache",
    }
    for path, (name, kind) in _FILES.items():
        answer = Response((_PAGE / name).read_bytes(), media_type=kind, headers=headers)
        app.add_api_route(path, _always(answer), methods=["GET", "HEAD"], include_in_schema=False)


def _always(answer: Response) -> Callable[[], Awaitable[Response]]:
    async def serve_file() -> Response:
        return answer

    return serve_file
