"""The routes."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
import uuid
from pathlib import Path
from typing import Annotated, Any, Awaitable, Callable, Dict, List, Optional, TypeVar

from fastapi import Depends, FastAPI, Query
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request

import ppcls
from ppcls.inference.examples import Example
from ppcls.serving import auth, metrics, openapi, query, schemas, uploads
from ppcls.serving.batcher import ModelError
from ppcls.serving.errors import CLIENT_CLOSED_REQUEST, ClientDisconnectedError, RequestError
from ppcls.serving.middleware import ServerMiddleware
from ppcls.serving.request_body import read_body
from ppcls.serving.service import Service
from ppcls.utils.logging import get_logger

_PAGE = Path(__file__).with_name("page")
# Read at the start: no request reads from disk.
_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/docs": ("docs.html", "text/html; charset=utf-8"),
    "/style.css": ("style.css", "text/css; charset=utf-8"),
    **{f"/{file.name}": (file.name, "text/javascript; charset=utf-8") for file in sorted(_PAGE.glob("*.js"))},
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
T = TypeVar("T")


def build_app(service: Service) -> ServerMiddleware:
    """Return the whole application for a service."""
    app = FastAPI(title="ppcls", version=ppcls.__version__, docs_url=None, redoc_url=None, redirect_slashes=False)
    _add_error_handlers(app)
    keyed = auth.dependencies(service.settings.api_key)
    # The page of the API has them in this order.
    _add_model_routes(app, service, [*keyed, Depends(query.check_repeated)])
    _add_info_routes(app, service, keyed)
    _add_status_routes(app, service, keyed)
    _add_page_routes(app)
    if service.settings.cors:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(service.settings.cors),
            allow_methods=["GET", "POST"],
            allow_headers=["X-API-Key", "Authorization", "Content-Type"],
        )
    routes = ["/predict", "/saliency", "/model", "/examples", "/health", "/ready", "/metrics"]
    return ServerMiddleware(app, service, [*routes, *_FILES])


def _add_error_handlers(app: FastAPI) -> None:
    @app.exception_handler(RequestError)
    async def request_error(_: Request, error: RequestError) -> Response:
        return JSONResponse({"error": error.message, **error.details}, error.status, error.headers)

    @app.exception_handler(ClientDisconnectedError)
    async def disconnected(_: Request, __: ClientDisconnectedError) -> Response:
        return Response(status_code=CLIENT_CLOSED_REQUEST)  # nobody reads it

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        message = f"{request.method} {request.url.path}: {error.detail}; see /docs"
        return JSONResponse({"error": message}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid_options(request: Request, error: RequestValidationError) -> Response:
        problems = [query.describe_error(problem, request.url.path) for problem in error.errors()]
        return JSONResponse({"error": "; ".join(problems)}, 422)

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


def _add_status_routes(app: FastAPI, service: Service, keyed: List[Any]) -> None:
    @app.head("/health", include_in_schema=False)
    @app.get(
        "/health",
        summary="Whether the process works",
        response_model=schemas.Status,
        responses=openapi.error(503, "restart it"),
    )
    async def health() -> Response:
        return _status("ok", service.liveness_problem())

    @app.head("/ready", include_in_schema=False)
    @app.get(
        "/ready",
        summary="Whether to send requests here",
        response_model=schemas.Status,
        responses=openapi.error(503, "not now"),
    )
    async def ready() -> Response:
        return _status("ready", service.readiness_problem())

    metrics_keyed = [] if service.settings.open_metrics else keyed

    @app.get(
        "/metrics",
        summary="For Prometheus",
        dependencies=metrics_keyed,
        response_class=PlainTextResponse,
        responses=openapi.error(401) if metrics_keyed else None,
    )
    async def read_metrics() -> Response:
        return Response(service.metrics.text(), media_type=metrics.CONTENT_TYPE)


def _status(good: str, problem: Optional[str]) -> Response:
    return JSONResponse({"status": good}) if problem is None else JSONResponse({"error": problem}, 503)


def _add_info_routes(app: FastAPI, service: Service, keyed: List[Any]) -> None:
    settings = service.settings

    @app.get(
        "/model",
        summary="The model, its classes and the server's limits",
        dependencies=keyed,
        responses=openapi.error(401),
    )
    async def model() -> schemas.ModelInfo:
        return schemas.ModelInfo(
            model=service.model.name,
            backend=service.model.backend,
            device=service.model.device,
            precision=service.model.precision,
            image_shape=list(service.model.description.image_shape),
            class_num=service.model.description.class_num,
            class_names=service.model.class_names,
            topk=service.model.topk,
            multilabel=service.model.is_multilabel,
            unsure_margin=settings.unsure_margin,
            examples=len(service.model.examples),
            max_images=settings.max_images,
            max_body=settings.max_body,
            max_pixels=settings.max_pixels,
            urls=settings.allow_urls,
            saliency=not settings.no_saliency,
        )

    pictures = schemas.Examples(examples=[_example(service, example) for example in service.model.examples])
    answer = Response(pictures.model_dump_json(), media_type="application/json")

    @app.get(
        "/examples",
        summary="Pictures to try the model with, if some were exported with it",
        dependencies=keyed,
        response_model=schemas.Examples,
        responses=openapi.error(401),
    )
    async def examples() -> Response:
        return answer


def _example(service: Service, example: Example) -> schemas.Example:
    names = [service.model.label(class_id) for class_id in example.class_ids]
    image = "data:image/jpeg;base64," + base64.b64encode(example.data).decode("ascii")
    return schemas.Example(
        class_ids=list(example.class_ids), label_names=[name for name in names if name is not None], image=image
    )


def _add_model_routes(app: FastAPI, service: Service, dependencies: List[Any]) -> None:
    @app.post(
        "/predict",
        summary="Classify images",
        dependencies=dependencies,
        openapi_extra=openapi.BODY,
        response_model=schemas.Prediction,
        responses={200: openapi.PREDICT_EXAMPLE, **openapi.PREDICT_ERRORS},
    )
    async def predict(request: Request, options: Annotated[query.PredictOptions, Query()]) -> Response:
        return await _answer(request, service, lambda images: service.predict(images, options.topk))

    @app.post(
        "/saliency",
        summary="Heat map of an image: how far the score of a class falls where a part is covered",
        dependencies=dependencies,
        openapi_extra=openapi.BODY,
        response_model=schemas.HeatMap,
        responses=openapi.HEAT_MAP_ERRORS,
    )
    async def heat_map(request: Request, options: Annotated[query.SaliencyOptions, Query()]) -> Response:
        return await _answer(request, service, lambda images: service.heat_map(images, options.class_id, options.grid))


async def _answer(request: Request, service: Service, work: Callable[[Any], Awaitable[Dict[str, Any]]]) -> Response:
    """Answer a request with the result of ``work`` for its images."""
    settings = service.settings
    content_type = request.headers.get("content-type", "")
    uploads.media_type_of(content_type)  # before the body is read for nothing
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        stack.enter_context(service.open_requests.acquired())
        service.requests.check()  # likewise
        async with read_body(request, settings.max_body, settings.read_timeout, service.memory) as body:
            # Only now: clients that stall in their bodies must not keep others out.
            stack.enter_context(service.requests.acquired())
            read = time.monotonic()

            async def parse_and_work() -> Dict[str, Any]:
                return await work(await service.parse(body, content_type))

            answer = await _until_disconnected(request, parse_and_work(), settings.timeout)
    now = time.monotonic()
    answer["milliseconds"].update(receive=round(1000 * (read - started), 2), total=round(1000 * (now - started), 2))
    return JSONResponse(answer)


async def _until_disconnected(request: Request, work: Awaitable[T], seconds: float) -> T:
    """Return the work's result; drop the work when the client leaves or time is up.

    Raises:
        ClientDisconnectedError: the connection was closed.
        RequestError: 503, time is up.
    """
    task = asyncio.ensure_future(work)
    disconnected = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({task, disconnected}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if disconnected.done():
            raise ClientDisconnectedError
        raise RequestError(503, f"no answer within {seconds:g} s; try again later", {"Retry-After": "1"})
    finally:
        for pending in (task, disconnected):
            pending.cancel()
        await asyncio.gather(task, disconnected, return_exceptions=True)


def _add_page_routes(app: FastAPI) -> None:
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
